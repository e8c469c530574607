"""What each step of a training and each validation is made of: which episode, noise, weights and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small_runs import DATASET, create_run, metrics_of
from vmacore.config import ObjectiveConfig
from vmacore.data.characters import Characters
from vmacore.episodes import training_sampler, validation_sampler
from vmacore.episodes.base import Episode, Sampler
from vmacore.estimators import estimator_for
from vmacore.evaluation.classification import classify
from vmacore.evaluation.likelihood import score_episodes
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import build_model, load_model
from vmacore.seeds import Stream, generator
from vmacore.training.loop import ValidationReport, train
from vmacore.training.step import Step
from vmacore.training.trainer import Trainer

STILL: dict[str, Any] = {"learning_rate": 1e-20}  # too small to move any weight
SEED = 5


class Repeated:
    """One episode at every step."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode

    def at(self, step: int) -> Episode:
        """The episode, whatever the step."""
        return self.episode


def _updates(path: Path, sampler: Sampler | None, count: int = 4) -> tuple[list[float], list[list[float]]]:
    """The NLL that each of the first updates reports, weights standing still, and what it is [step][noise of step]."""
    run = create_run(path, optimiser=STILL, training={"seed": SEED})
    trainer = Trainer(run, DATASET, torch.device("cpu"))
    sampler = sampler or training_sampler(run.config, DATASET.train, "cpu", SEED)
    reported = [float(trainer.update(sampler)[0]) for _ in range(count)]
    objective = run.config.objective
    step = Step(build_model(run.config), estimator_for(objective, True), objective)
    expected = [
        [float(step(sampler.at(at), generator(SEED, noise, Stream.NOISE))[1][0]) for noise in range(count)]
        for at in range(count)
    ]
    return reported, expected


def test_every_step_trains_on_its_own_episode(tmp_path: Path) -> None:
    reported, expected = _updates(tmp_path / "run", None)
    assert reported == pytest.approx([expected[step][step] for step in range(4)], rel=1e-6)
    assert reported != pytest.approx(expected[0], rel=1e-3)  # as the first episode with these noises would be


def test_every_step_has_its_own_noise(tmp_path: Path) -> None:
    """One episode and one set of weights: only the noise differs."""
    episode = training_sampler(create_run(tmp_path / "a").config, DATASET.train, "cpu").at(0)
    reported, expected = _updates(tmp_path / "run", Repeated(episode))
    assert reported == pytest.approx(expected[0], rel=1e-6)
    assert len({round(nll, 4) for nll in reported}) == 4


def test_a_resumed_run_goes_on_with_the_next_episode(tmp_path: Path) -> None:
    asked: list[int] = []
    run = create_run(tmp_path / "run", training={"steps": 2})
    train(run, DATASET)
    trainer = Trainer(run, DATASET, torch.device("cpu"))
    trainer.restore()

    class Asked(Repeated):
        def at(self, step: int) -> Episode:
            asked.append(step)
            return self.episode

    sampler = Asked(training_sampler(run.config, DATASET.train, "cpu").at(0))
    for _ in range(3):
        trainer.update(sampler)
    assert asked == [2, 3, 4]


RESIDUAL: dict[str, Any] = {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2)}


def test_coarse_warm_up_ends_in_a_bound(tmp_path: Path) -> None:
    """The coarse latents' share rises by equal parts to the whole; from there on, steps are those without warm-up."""
    run = create_run(tmp_path / "run", model=RESIDUAL, optimiser=STILL, objective={"coarse_warmup": 4})
    trainer, model = Trainer(run, DATASET, torch.device("cpu")), build_model(run.config)
    with torch.no_grad():  # from where they start, coarse posteriors equal their priors and nothing would be weighed
        for weight, same in zip(trainer.model.parameters(), model.parameters(), strict=True):
            same.copy_(weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))))
    sampler = training_sampler(run.config, DATASET.train, "cpu")
    step = Step(model, estimator_for(run.config.objective, True), ObjectiveConfig(samples=3))
    shares = []
    for at in range(6):
        reported = float(trainer.update(sampler)[0])
        shares.append(trainer.model.coarse_weight)
        whole = float(step(sampler.at(at), generator(0, at, Stream.NOISE))[1][0])
        assert (reported == pytest.approx(whole, rel=1e-6)) is (at >= 4)
    assert shares == [0, 0.25, 0.5, 0.75, 1, 1]


# Validation


def _validated(run: RunDirectory) -> list[ValidationReport]:
    reports: list[ValidationReport] = []
    train(run, DATASET, on_validation=reports.append)
    return reports


def _measured(run: RunDirectory, characters: Characters, weights: str) -> tuple[float, float]:
    """NLL and accuracy of the last weights, on the episodes that validation would draw from these characters."""
    model = load_model(find_run(run.checkpoint(8), runs_dir=run.path.parent), weights=weights)
    sampler = validation_sampler(run.config, characters, "cpu")
    nll = score_episodes(model, sampler, samples=run.config.objective.samples, episodes=4).nll
    return nll, classify(model, characters, way=5, shot=1, episodes=100).accuracy


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, ValidationReport]:
    """A run of 8 steps with what its one validation says."""
    training = {"steps": 8, "validation_episodes": 4}
    run = create_run(tmp_path_factory.mktemp("validated") / "run", training=training, optimiser={"average": 0.9})
    (report,) = _validated(run)
    return run, report


def test_validation_is_of_the_validation_classes(validated: tuple[RunDirectory, ValidationReport]) -> None:
    run, report = validated
    assert (report.nll, report.accuracy) == pytest.approx(_measured(run, DATASET.validation, "averaged"), rel=1e-6)
    for other in (DATASET.test, DATASET.train):
        assert report.nll != pytest.approx(_measured(run, other, "averaged")[0], rel=1e-4)


def test_validation_is_of_the_averaged_weights(validated: tuple[RunDirectory, ValidationReport]) -> None:
    run, report = validated
    assert (report.nll, report.accuracy) == pytest.approx(_measured(run, DATASET.validation, "averaged"), rel=1e-6)
    assert report.nll != pytest.approx(_measured(run, DATASET.validation, "raw")[0], rel=1e-4)


def test_the_test_classes_choose_nothing(tmp_path: Path) -> None:
    """With other test classes a run reports the same and keeps the same best step."""
    rows, best = [], []
    for name, test in (("own", DATASET.test), ("other", DATASET.train)):
        run = create_run(tmp_path / name, training={"steps": 6, "validate_every": 2})
        train(run, replace(DATASET, test=test))
        rows.append(metrics_of(run))
        best.append(run.pointed("best"))
    assert rows[0] == rows[1]
    assert best[0] == best[1]
    validations = [row for row in rows[0] if row["kind"] == "validation"]
    assert best[0] == min(validations, key=lambda row: row["nll"])["step"]
