"""A small data set and small models, so that a whole run takes less than a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vmacore.config import (
    Config,
    DataConfig,
    EpisodeConfig,
    LabelsConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    TrainingConfig,
)
from vmacore.data.characters import Characters, Dataset
from vmacore.latents import as_seen

SIZE = (8, 8)
MODEL = ModelConfig(size=SIZE, channels=(4, 4, 4, 4, 4, 4), hidden=16, latent=4, embedding=8)
EPISODE = EpisodeConfig(classes=4, targets=2, shots=2)


class Given:
    """Latents whose values are given, coarse to fine."""

    def __init__(self, *values: Tensor) -> None:
        self.left = list(values)

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        """The next value, whatever the distributions."""
        return self.left.pop(0)


def characters(counts: Sequence[int], *, seed: int = 0, levels: int = 1) -> Characters:
    """Classes of `counts` drawings: a shape of a class's own, a few pixels of which differ between drawings."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    shapes = torch.rand(len(counts), *SIZE, generator=draw) < 0.4
    flips = torch.rand(len(labels), *SIZE, generator=draw) < 0.05
    images = (shapes[labels] ^ flips).to(torch.uint8)
    if levels > 1:
        images = images * torch.randint(1, levels + 1, images.shape, generator=draw).to(torch.uint8)
    return Characters(images, labels, tuple(f"Made/character{index:02}" for index in range(len(counts))), levels)


def dataset(*, levels: int = 1) -> Dataset:
    """12 classes to train on, 6 to validate, 6 to test, 10 drawings each."""
    splits = [characters([10] * count, seed=seed, levels=levels) for seed, count in enumerate((12, 6, 6))]
    return Dataset("synthetic", "standard", "8x8", "binary", *splits)


def read(config: Config, settings: Sequence[str]) -> list[str]:
    """Those settings, each as `--set` takes it, whose keys a configuration has."""
    document = config.model_dump()
    keys = {setting: setting.partition("=")[0].split(".") for setting in settings}
    return [setting for setting, (section, key) in keys.items() if key in document[section]]


def config(**sections: dict[str, Any]) -> Config:
    """A small run: reports every 5 steps, checkpoints every 10, validates at the end. Sections as in `Config`."""
    optimiser = {"learning_rate": 3e-3, "average": 0.9}
    training = {
        "steps": 10,
        "metrics_every": 5,
        "checkpoint_every": 10,
        "validate_every": 1_000_000,
        "validation_episodes": 2,
    }
    return Config(
        data=DataConfig(dataset="synthetic", protocol="standard"),
        model=MODEL.changed(**sections.get("model", {})),
        episode=EPISODE.changed(**sections.get("episode", {})),
        objective=ObjectiveConfig(samples=3).changed(**sections.get("objective", {})),
        labels=LabelsConfig(**sections.get("labels", {})),
        optimiser=OptimiserConfig(**{**optimiser, **sections.get("optimiser", {})}),
        training=TrainingConfig(**{**training, **sections.get("training", {})}),
    )
