"""Models from configurations and from what was saved of them."""

from __future__ import annotations

from pathlib import Path

import torch

from vmacore.config import Config
from vmacore.errors import VmaError
from vmacore.models import GenerativeModel, create_model
from vmacore.runs import directory as ckpt
from vmacore.runs.directory import Location
from vmacore.seeds import Stream, generator


def build_model(config: Config, device: torch.device | str = "cpu") -> GenerativeModel:
    """The model of a configuration, its weights drawn from the training seed; global generators stay untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.training.seed, 0, Stream.INITIAL).initial_seed())
        model = create_model(config.model)
    return model.to(device).to(memory_format=torch.channels_last)


def weights_file(location: Location, weights: str) -> Path:
    """The file with raw or averaged weights of a location.

    Raises:
        VmaError: a name other than those, or weights that this location does not hold.
    """
    if weights not in ckpt.WEIGHTS:
        raise VmaError(f"there are no {weights!r} weights; choose one of {', '.join(ckpt.WEIGHTS)}")
    file = location.path / ckpt.WEIGHTS[weights]
    if not file.exists():
        raise VmaError(f"{location.run} holds no {weights} weights: leave out --weights {weights}")
    return file


def load_model(location: Location, *, weights: str = "averaged", device: torch.device | str = "cpu") -> GenerativeModel:
    """A trained model, ready for evaluation.

    Raises:
        VmaError: weights that are absent, damaged or of another shape.
    """
    model = build_model(location.config, device)
    ckpt.load_weights(model, weights_file(location, weights))
    return model.eval().requires_grad_(False)
