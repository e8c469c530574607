"""Models from configurations and from what was saved of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vmacore.config import Config
from vmacore.config.migration import migrated_weights
from vmacore.errors import VmaError, cut, diverged, reading, reason, writing
from vmacore.files import content, new_folder, write
from vmacore.models import GenerativeModel, create_model
from vmacore.runs.directory import (
    CHECKSUMS,
    LARGEST,
    MOMENTS,
    WEIGHTS,
    RunDirectory,
    read_state,
    write_checkpoint,
)
from vmacore.runs.finding import Location
from vmacore.seeds import Stream, generator
from vmacore.spelling import choose_one_of

PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def build_model(config: Config, device: torch.device | str = "cpu") -> GenerativeModel:
    """The model of a configuration, its weights drawn from the training seed; global generators stay untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.training.seed, 0, Stream.INITIAL).initial_seed())
        model = create_model(config.model)
    return model.to(device).to(memory_format=torch.channels_last)


class _Undrawn(TorchFunctionMode):
    """Leaves out the drawing of normal initial weights.

    Without memory to fill there is nothing to draw, and torch would import its compiler for it, which takes as long as
    all else that a command imports.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        return (*args, *given.values())[0] if func is nn.init.normal_ else func(*args, **given)


def skeleton(config: Config) -> GenerativeModel:
    """The model of a configuration with shapes alone, which takes no memory.

    Raises:
        VmaError: there is no such model.
    """
    try:
        with torch.device("meta"), _Undrawn():
            return create_model(config.model)
    except Exception as error:
        raise VmaError(f"no model has these settings ({reason(error)}): change those under [model]") from error


def weights_file(location: Location, weights: str) -> Path:
    """The file with raw or averaged weights of a location.

    Raises:
        VmaError: a name other than those, or weights that this location does not hold.
    """
    if weights not in WEIGHTS:
        raise VmaError(f"there are no {weights!r} weights; {choose_one_of(weights, WEIGHTS)}")
    file = location.path / WEIGHTS[weights]
    if location.path.is_dir() and not file.exists():
        raise VmaError(f"{location.run} holds no {weights} weights: leave out --weights {weights}")
    return file


def load_model(location: Location, *, weights: str = "averaged", device: torch.device | str = "cpu") -> GenerativeModel:
    """A trained model, ready for evaluation.

    Raises:
        VmaError: weights that are absent, damaged or of another shape.
    """
    file = weights_file(location, weights)
    stored = read_tensors(file)
    _check_shapes(stored, skeleton(location.config).state_dict(), file)  # before memory is taken for such weights
    model = build_model(location.config, device)
    _fill(model, stored)
    return model.eval().requires_grad_(False)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file of a checkpoint: all of finite numbers, with the checksum that its state names.

    Raises:
        Gone: another process has removed the checkpoint.
        VmaError: absent, damaged, altered, or not weights.
    """
    expected = read_state(file.parent).get(CHECKSUMS, {}).get(file.name)  # earlier versions wrote none
    with reading(file, "use another checkpoint, or train again"):
        stored = content(file, LARGEST["weights"])
        if expected not in (None, hashlib.sha256(stored).hexdigest()):
            raise ValueError("it is not what was saved, its checksum is another")
        tensors = migrated_weights(load(stored))
        for name, tensor in tensors.items():
            if tensor.dtype not in PRECISIONS or not bool(tensor.isfinite().all()):
                raise ValueError(f"{cut(name)} is not of finite numbers")
    return tensors


def newest_whole(run: RunDirectory) -> tuple[int | None, str]:
    """The newest step whose checkpoint is whole, and what is wrong with the newest of all where that is another.

    None for a run that has saved nothing.

    Raises:
        VmaError: no checkpoint is whole, or the configuration is of another model than all of them.
    """
    wrong: list[str] = []
    expected = skeleton(run.config).state_dict() if run.steps() else {}  # a model takes no memory before it is known
    for step in run.steps():
        try:
            for file in (*WEIGHTS.values(), *MOMENTS.values()):
                stored = read_tensors(run.checkpoint(step) / file)
                if file in WEIGHTS.values():
                    _check_shapes(stored, expected, run.checkpoint(step) / file)
        except VmaError as error:
            wrong.append(str(error))
        else:
            return step, next(iter(wrong), "")
    if wrong:
        raise VmaError(f"{run.path} has no whole checkpoint, start a new run (--init RUN): {wrong[0]}")
    return None, ""


def check_fits(run: RunDirectory, step: int) -> None:
    """Compare the weights of a checkpoint with the model of the run's configuration, before memory is taken for it.

    Raises:
        VmaError: absent, damaged or of another shape.
    """
    file = run.checkpoint(step) / WEIGHTS["raw"]
    _check_shapes(read_tensors(file), skeleton(run.config).state_dict(), file)


def load_weights(module: nn.Module, file: Path) -> None:
    """Load weights, in whatever precision they are stored, into a module of the same shape.

    Raises:
        VmaError: naming the first tensor that is missing, unknown or of another shape, with both shapes.
    """
    fill(module, read_tensors(file), file)


def fill(module: nn.Module, stored: Mapping[str, Tensor], file: Path) -> None:
    """Take weights that were read from a file into a module of the same shape.

    Raises:
        VmaError: as `load_weights`.
    """
    _check_shapes(stored, module.state_dict(), file)
    _fill(module, stored)


def _check_shapes(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path) -> None:
    for name in sorted(expected.keys() | stored.keys()):
        if name not in stored or name not in expected:
            raise VmaError(f"{file}: {name} is {'missing' if name in expected else 'not part of this model'}")
        if stored[name].shape != expected[name].shape:
            have, want = list(stored[name].shape), list(expected[name].shape)
            raise VmaError(f"{file}: {name} has shape {have}, but this model needs {want}")


@torch.no_grad()
def _fill(module: nn.Module, stored: Mapping[str, Tensor]) -> None:
    for name, tensor in module.state_dict().items():
        tensor.copy_(stored[name])


def export_weights(location: Location, folder: Path, beside: Mapping[str, str] | None = None) -> None:
    """Write the averaged weights in float16, with configuration and step, as a folder that `find_run` takes by path.

    The folder appears whole or not at all. beside: texts that stand in it, too, by name of the file.

    Raises:
        VmaError: the folder exists or cannot be written, or the weights cannot be read or are too large for float16.
    """
    weights = {name: tensor.half() for name, tensor in read_tensors(location.path / WEIGHTS["averaged"]).items()}
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise diverged(f"the weights of {location.run} in float16 are")
    state = {"step": location.step, "best": read_state(location.path)["best"]}
    if folder.exists():
        raise VmaError(f"{folder} exists already: name a folder that is not there yet")
    with writing(folder, "choose another folder"), new_folder(folder) as part:
        for name, text in {"config.toml": location.config.to_toml(), **(beside or {})}.items():
            write(part / name, text.encode())
        write_checkpoint(part, state, {WEIGHTS["averaged"]: weights})
