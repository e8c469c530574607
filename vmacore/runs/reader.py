"""Weights that read pictures into a memory: which they are, and what they make of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vmacore.data.characters import Characters
from vmacore.data.pictures import Preparation
from vmacore.errors import VmaError
from vmacore.memory.pictures import PictureMemory, open_pictures, read_pictures
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.finding import Location, find_run
from vmacore.runs.shipped import shipped_weights
from vmacore.runs.weights import load_model


@dataclass(frozen=True, eq=False)
class Reader:
    """A few-shot model, and where its weights were found."""

    model: VariationalMemoryAddressing
    location: Location

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return next(self.model.parameters()).device

    @property
    def run(self) -> str:
        """What a memory notes of its weights: the name where `shipped_weights` finds them by it, else the path."""
        shipped = shipped_weights().get(self.location.run) == self.location.path
        return self.location.run if shipped else str(self.location.path.resolve())

    def preparation(self, frame: str | None = None, folder: Path | None = None) -> Preparation:
        """How pictures become drawings of the model's size.

        frame: None is the one that the model was trained with, where that was on this folder, else "ink".
        """
        data = self.location.config.data
        framed = data.protocol if folder is not None and data.dataset == str(folder.resolve()) else None
        return Preparation(self.model.size, frame or framed or "ink")

    def read(self, characters: Characters, preparation: Preparation) -> PictureMemory:
        """The memory of drawings in the finer view, not yet calibrated.

        Raises:
            VmaError: drawings of another size.
        """
        return read_pictures(self.model, characters, preparation, self.run)


def open_reader(
    name: str | Path | None = None,
    *,
    runs_dir: Path = Path("runs"),
    data_dir: Path | None = None,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
) -> Reader:
    """Weights by name or path, else the newest run that was trained on a folder, else shipped weights.

    Raises:
        VmaError: there are none of that name, or they cannot read new pictures.
    """
    return load_reader(find_reader(name, runs_dir=runs_dir, data_dir=data_dir, folder=folder), device)


def find_reader(
    name: str | Path | None = None,
    *,
    runs_dir: Path = Path("runs"),
    data_dir: Path | None = None,
    folder: Path | None = None,
) -> Location:
    """Where the weights are that `open_reader` opens.

    Raises:
        VmaError: there are none of that name.
    """
    trained_on = str(folder.resolve()) if folder and not name else None
    return find_run(name, runs_dir=runs_dir, data_dir=data_dir, dataset=trained_on, any_shipped=True)


def load_reader(location: Location, device: torch.device | str = "cpu") -> Reader:
    """The model with weights that were found.

    Raises:
        VmaError: they cannot be read, or cannot read new pictures.
    """
    model = load_model(location, device=device)
    if not isinstance(model, VariationalMemoryAddressing) or model.learned_memory is not None:
        raise VmaError(
            f"{location.run} has no keys for new pictures: take weights of a few-shot model (--weights symbols)"
        )
    return Reader(model, location)


def open_memory_with_reader(
    file: Path,
    name: str | Path | None = None,
    *,
    runs_dir: Path = Path("runs"),
    data_dir: Path | None = None,
    device: torch.device | str = "cpu",
) -> tuple[PictureMemory, Reader]:
    """A memory and the weights that made its keys: those that it names, unless they are elsewhere now.

    Raises:
        VmaError: there is no such memory, or other weights made its keys.
    """
    memory = open_pictures(file)
    try:
        reader = open_reader(name or memory.run, runs_dir=runs_dir, data_dir=data_dir, device=device)
    except VmaError as error:
        raise VmaError(f"{file} was made by {memory.run}: {error}; say where these weights are by --weights") from error
    memory = memory if reader.device.type == "cpu" else open_pictures(file, reader.device)
    memory.check(reader.model, file, None if name is None else str(name))
    return memory, reader
