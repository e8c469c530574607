"""Gradient estimators side by side: at an early and at a trained checkpoint, and in a short training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vmacore.bench.estimator_training import Comparison, compare_training
from vmacore.bench.estimators import CheckpointQuality, Repetitions, gradient_quality, step_seconds
from vmacore.config import Config, load_recipe
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.episodes import few_shot
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.models import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model
from vmacore.training.loop import prepare, train

# The glyphs recipe with a smaller network and 4 classes an episode: B = 16 targets, 16 slots.
SMALL = (
    "model.channels=[8, 8, 12, 16, 16, 16]",
    "model.hidden=64",
    "model.latent=16",
    "model.embedding=32",
    "episode.classes=4",
    "training.validate_every=1000000",  # only where training is looked at
    "training.checkpoint_every=1000000",
    "training.validation_episodes=16",
)
REPETITIONS = Repetitions()
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Lengths:
    """seeds: episodes at a checkpoint, and trainings. steps: of the short training. early: to the early checkpoint."""

    seeds: int = 2
    steps: int = 300
    early: int = 100


@dataclass(frozen=True)
class EstimatorReport:
    """What was found. `early` and `training` are of a small network on made-up characters, `small` its settings."""

    early: CheckpointQuality
    trained: CheckpointQuality
    training: Comparison
    small: Config


def compare_estimators(
    model: GenerativeModel,
    config: Config,
    characters: Characters,
    names: Sequence[str],
    *,
    lengths: Lengths,
    device: torch.device | str = "cpu",
    progress: Progress = lambda what: None,
) -> EstimatorReport:
    """Measure the estimators of these names on a trained model with its own configuration, and on a small network.

    characters: binary, from which the trained model's episodes are drawn. The others are set beside the first
    estimator. progress(what) says what is measured next.

    Raises:
        VmaError: a model that draws no address, or none of `gradient_quality`.
    """
    trained_model = _addressed(model)
    small = load_recipe("glyphs").with_overrides(SMALL)
    glyphs = load_dataset("glyphs")
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "early", prepare(small, glyphs))
        progress(f"a small network, {lengths.early} steps")
        train(run, glyphs, steps=lengths.early, device=device)
        begun = _addressed(load_model(find_run(run.path, runs_dir=Path(folder)), weights="raw", device=device))
        validation = glyphs.validation.binarised(small.data.seed)
        early, seconds = _checkpoint(begun, small, validation, names, lengths, lambda name: progress(f"early, {name}"))
        trained, _ = _checkpoint(
            trained_model, config, characters, names, lengths, lambda name: progress(f"trained, {name}")
        )
        training = compare_training(
            small,
            glyphs,
            seconds,
            Path(folder),
            steps=lengths.steps,
            seeds=lengths.seeds,
            device=device,
            progress=lambda name, seed: progress(f"training, {name}, seed {seed}"),
        )
    return EstimatorReport(early, trained, training, small)


def _addressed(model: GenerativeModel) -> VariationalMemoryAddressing:
    if not isinstance(model, VariationalMemoryAddressing):
        raise VmaError("estimators are compared on a model that draws addresses: take a run of the vma system")
    return model


def _checkpoint(
    model: VariationalMemoryAddressing,
    config: Config,
    characters: Characters,
    names: Sequence[str],
    lengths: Lengths,
    progress: Progress,
) -> tuple[CheckpointQuality, dict[str, float]]:
    """Bias and noise at a model's weights, and seconds of a training step by name."""
    device, episode = next(model.parameters()).device, few_shot.Options.of(config.episode)
    sampler = EpisodeSampler(
        characters, n_way=episode.classes, n_shot=episode.shots, n_target=episode.targets, seed=0, device=device
    )
    episodes = [sampler.at(index) for index in range(lengths.seeds)]
    seconds = step_seconds(model, episodes[0], config.objective, names)
    quality = gradient_quality(model, episodes, config.objective, seconds, repetitions=REPETITIONS, progress=progress)
    return quality, seconds
