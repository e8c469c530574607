"""A short training with each gradient estimator: what is reached after equal steps, and after equal time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vmacore.config import Config
from vmacore.data.characters import Dataset
from vmacore.episodes import few_shot
from vmacore.evaluation.likelihood import score_episodes
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model
from vmacore.training.loop import ValidationReport, prepare, train

MANY = 64  # samples of the bound that is compared: near log p(x|M), whatever the training's own objective


@dataclass(frozen=True)
class Reached:
    """Averaged weights on validation classes, means over seeds.

    nll: the bound of the training's K; nll_many: of MANY samples; nats. difference, difference_se: of nll_many from the
    first estimator's at the same place, seed by seed, and its standard error over seeds. accuracy: 5-way 1-shot by
    q(a|x). kl_address: nats.
    """

    estimator: str
    steps: int
    nll: float
    nll_many: float
    difference: float
    difference_se: float
    kl_address: float
    accuracy: float


@dataclass(frozen=True)
class Comparison:
    """By estimator, in the order given."""

    equal_steps: list[Reached]
    equal_time: list[Reached]


def compare_training(
    config: Config,
    dataset: Dataset,
    seconds: Mapping[str, float],
    folder: Path,
    *,
    steps: int,
    seeds: int = 2,
    device: torch.device | str = "cpu",
    progress: Callable[[str, int], None] = lambda name, seed: None,
) -> Comparison:
    """Train with every estimator and several seeds, each in a run of its own in `folder`.

    seconds: of a training step, by name of the estimators. steps: of all, for equal steps, and of the first estimator
    for equal time; the others get as many as fit by `seconds`, so that what a loaded machine does to a single run does
    not matter. Seeds decide weights,
    episodes and noise, and are the same for all.
    """
    found: dict[tuple[str, int, int], tuple[float, ...]] = {}
    names = list(seconds)
    marks = {name: round(steps * seconds[names[0]] / seconds[name]) for name in names}
    for seed in range(seeds):
        for name in names:
            progress(name, seed)
            chosen = config.with_overrides([f"objective.estimator={name}", f"training.seed={seed}"])
            run = RunDirectory.create(folder / f"{name}-{seed}", prepare(chosen, dataset))
            for mark in sorted({steps, marks[name]}):
                found[name, seed, mark] = _reached(run, dataset, mark, device)
                run = RunDirectory.open(run.path)

    def means(at: Mapping[str, int]) -> list[Reached]:
        rows = []
        for name in names:
            values = torch.tensor([found[name, seed, at[name]] for seed in range(seeds)], dtype=torch.float64)
            first = torch.tensor([found[names[0], seed, at[names[0]]] for seed in range(seeds)], dtype=torch.float64)
            nll, nll_many, kl_address, accuracy = values.mean(0).tolist()
            difference = values[:, 1] - first[:, 1]
            error = float(difference.std()) / seeds**0.5 if seeds > 1 else float("nan")
            rows.append(Reached(name, at[name], nll, nll_many, float(difference.mean()), error, kl_address, accuracy))
        return rows

    return Comparison(means(dict.fromkeys(names, steps)), means(marks))


def _reached(
    run: RunDirectory, dataset: Dataset, steps: int, device: torch.device | str
) -> tuple[float, float, float, float]:
    """Train on to `steps`, and look."""
    reports: list[ValidationReport] = []
    started = run.pointed("latest") is not None
    train(run, dataset, steps=steps, device=device, resume=started, on_validation=reports.append)
    model = load_model(find_run(run.checkpoint(steps), runs_dir=run.path.parent), device=device)
    characters = dataset.validation.binarised(run.config.data.seed)
    episode = few_shot.Options.of(run.config.episode)
    sampler = few_shot.EpisodeSampler(
        characters, n_way=episode.classes, n_shot=episode.shots, n_target=episode.targets, seed=0, device=device
    )
    many = score_episodes(model, sampler, samples=MANY, episodes=run.config.training.validation_episodes, device=device)
    last = reports[-1]
    return last.nll, many.nll, last.kl_address, last.accuracy or float("nan")
