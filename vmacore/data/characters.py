"""Drawings of character classes: the one form in which every data set reaches the rest of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from vmacore.data.views import ZOOM, pixels_of
from vmacore.errors import VmaError
from vmacore.spelling import choose_one_of

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Characters:
    """Drawings sorted by class.

    images: uint8 [N, H, W]; 0 is paper, `levels` is full ink.
    labels: int64 [N], ascending, 0 … n_classes − 1.
    classes: a name for each class, such as "Tengwar/character03".
    levels: 1 where images are binary; otherwise image / levels is the mean of a Bernoulli to draw pixels from. Whoever
        shows drawings to a model binarises them: `Pixels` anew in every step, `binarised` once.
    finer: whether images are the finer view of drawings with binary pixels (`vmacore.data.views`); image / levels is
        then a shade, and nothing is drawn from it.
    files: where each drawing was read, of a folder of pictures; else empty.

    Raises:
        ValueError: images or labels of another type or shape, labels that do not ascend, pixels above `levels`, or
            another number of files.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    levels: int = 1
    finer: bool = False
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() != 3:
            raise ValueError(f"images must be uint8 [N, H, W], not {self.images.dtype} {list(self.images.shape)}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"{len(self.images)} images but labels of shape {list(self.labels.shape)}")
        if len(self.labels) and bool((self.labels.diff() < 0).any()):
            raise ValueError("labels must be sorted: the order of drawings decides the episodes")
        darkest = int(self.images.max()) if self.images.numel() else 0
        if not max(1, darkest) <= self.levels <= 255:
            raise ValueError(f"pixels reach {darkest}, but levels is {self.levels}: give levels the value of full ink")
        if self.files and len(self.files) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(self.files)} files")

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of x in pixels; finer views are `ZOOM` times as large."""
        H, W = self.images.shape[1:]
        return (H // ZOOM, W // ZOOM) if self.finer else (H, W)

    @cached_property
    def counts(self) -> Tensor:
        """int64 [C]: drawings of each class."""
        return torch.bincount(self.labels, minlength=self.n_classes)

    @cached_property
    def offsets(self) -> Tensor:
        """int64 [C + 1]: class c holds drawings offsets[c] … offsets[c + 1] − 1."""
        return torch.cat([torch.zeros(1, dtype=torch.int64), self.counts.cumsum(0)])

    def select(self, classes: Sequence[int]) -> Characters:
        """The classes given, relabelled 0, 1, … in the order given."""
        index = [torch.arange(int(self.offsets[c]), int(self.offsets[c + 1])) for c in classes]
        labels = [torch.full((len(rows),), new) for new, rows in enumerate(index)]
        none = torch.zeros(0, dtype=torch.int64)
        rows = torch.cat([none, *index])
        return Characters(
            images=self.images[rows],
            labels=torch.cat([none, *labels]),
            classes=tuple(self.classes[c] for c in classes),
            levels=self.levels,
            finer=self.finer,
            files=tuple(self.files[row] for row in rows.tolist()) if self.files else (),
        )

    def with_at_least(self, drawings: int) -> Characters:
        """The classes with so many drawings."""
        enough = (self.counts >= drawings).nonzero().flatten().tolist()
        return self if len(enough) == self.n_classes else self.select(enough)

    def drawing(self, index: int) -> str:
        """A name for a drawing: its file, or its place in its class."""
        label = int(self.labels[index])
        return self.files[index] if self.files else f"{self.classes[label]}/{index - int(self.offsets[label])}"

    @property
    def view(self) -> str:
        """Which of the two of `vmacore.data.views` the images are: "pixels" or "finer"."""
        return "finer" if self.finer else "pixels"

    def in_pixels(self) -> Characters:
        """The binary pixels of a finer view; others stay."""
        if not self.finer:
            return self
        parts = [pixels_of(part[:, None].float() / self.levels)[:, 0].byte() for part in self.images.split(4096)]
        none = self.images.new_zeros(0, *self.size)
        return replace(self, images=torch.cat([none, *parts]), levels=1, finer=False)

    def binarised(self, seed: int) -> Characters:
        """Binary images drawn once from the Bernoulli means, the same for the same seed; others stay."""
        if self.levels == 1 or self.finer:
            return self
        generator = torch.Generator().manual_seed(seed)
        threshold = torch.rand(self.images.shape, generator=generator) * self.levels
        return replace(self, images=(self.images > threshold).to(torch.uint8), levels=1)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set cut into splits, with the words that stand beside every number made from it.

    preparation: how drawings became images. binarisation: how images become binary, and whether anew in each step.
    """

    name: str
    protocol: str
    preparation: str
    binarisation: str
    train: Characters
    validation: Characters
    test: Characters

    def split(self, name: str) -> Characters:
        """One of train, validation, test.

        Raises:
            VmaError: there is no such split.
        """
        if name not in SPLITS:
            raise VmaError(f"there is no split {name!r}; {choose_one_of(name, SPLITS)}")
        characters: Characters = getattr(self, name)
        return characters
