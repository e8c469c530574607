"""Models from configurations and from what was saved of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vmacore.config import Config
from vmacore.config.migration import migrated_weight
from vmacore.errors import VmaError
from vmacore.files import write
from vmacore.models import GenerativeModel, create_model
from vmacore.runs.directory import FORMAT, STATE, WEIGHTS, RunDirectory, read_state
from vmacore.runs.finding import Location
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
    if weights not in WEIGHTS:
        raise VmaError(f"there are no {weights!r} weights; choose one of {', '.join(WEIGHTS)}")
    file = location.path / WEIGHTS[weights]
    if not file.exists():
        raise VmaError(f"{location.run} holds no {weights} weights: leave out --weights {weights}")
    return file


def load_model(location: Location, *, weights: str = "averaged", device: torch.device | str = "cpu") -> GenerativeModel:
    """A trained model, ready for evaluation.

    Raises:
        VmaError: weights that are absent, damaged or of another shape.
    """
    model = build_model(location.config, device)
    load_weights(model, weights_file(location, weights))
    return model.eval().requires_grad_(False)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file.

    Raises:
        VmaError: absent or damaged.
    """
    try:
        return {migrated_weight(name): tensor for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise VmaError(f"{file} is missing or damaged: use another checkpoint, or train again") from error


def load_weights(module: nn.Module, file: Path) -> None:
    """Load weights, in whatever precision they are stored, into a module of the same shape.

    Raises:
        VmaError: naming the first tensor that is missing, unknown or of another shape, with both shapes.
    """
    stored, expected = read_tensors(file), module.state_dict()
    for name in sorted(expected.keys() | stored.keys()):
        if name not in stored or name not in expected:
            raise VmaError(f"{file}: {name} is {'missing' if name in expected else 'not part of this model'}")
        if stored[name].shape != expected[name].shape:
            have, want = list(stored[name].shape), list(expected[name].shape)
            raise VmaError(f"{file}: {name} has shape {have}, but this model needs {want}")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(stored[name])


def export_weights(location: Location, folder: Path) -> None:
    """Write the averaged weights in float16, with configuration and step, as a folder that `find_run` takes by path.

    Raises:
        VmaError: the folder exists or cannot be written, or the weights cannot be read.
    """
    weights = read_tensors(location.path / WEIGHTS["averaged"])
    state = {"format": FORMAT, "step": location.step, "best": read_state(location.path)["best"]}
    run = RunDirectory.create(folder, location.config)
    try:
        write(run.path / WEIGHTS["averaged"], save({name: tensor.half() for name, tensor in weights.items()}))
        write(run.path / STATE, json.dumps(state, indent=1).encode())
    except OSError as error:
        raise VmaError(f"cannot write weights at {folder}: {error.strerror or error}") from error
