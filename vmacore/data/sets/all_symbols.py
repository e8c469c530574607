"""All there is to train weights for own pictures on: Omniglot's 50 alphabets, printed characters, made-up
alphabets and made-up shapes.

A tenth of Omniglot's characters validates, and so do the validation classes of the others; nothing is left for tests,
for which there are folders of pictures that nobody of the project drew.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vmacore.data.characters import SPLITS, Characters, Dataset
from vmacore.data.sets import glyphs, omniglot, printed, shapes

PROTOCOLS: tuple[str, ...] = ("all",)
DRAWINGS_OF = ("omniglot", "printed", "glyphs", "shapes")


def open_set(data_dir: Path, protocol: str, seed: int, *, finer: bool = False) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    drawn = omniglot.load(data_dir, "all", finer=finer)
    others = [of.load(seed, finer=finer) for of in (printed, glyphs, shapes)]
    train, validation = (joined([of.split(name) for of in (drawn, *others)]) for name in SPLITS[:2])
    preparation = f"{drawn.preparation}; with printed, glyphs and shapes, seed {seed}"
    return Dataset("all-symbols", protocol, preparation, omniglot.BINARISATION, train, validation, train.select([]))


def open_finer(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """The same in the finer view."""
    return open_set(data_dir, protocol, seed, finer=True)


def describe(data_dir: Path) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: Omniglot is not there.
    """
    return f"Omniglot's {omniglot.read_finer(data_dir).n_classes} characters, with printed, glyphs and shapes"


def joined(parts: list[Characters]) -> Characters:
    """The classes of all parts, in that order; in one view and of one size."""
    labels, first = [], 0
    for part in parts:
        labels.append(part.labels + first)
        first += part.n_classes
    return Characters(
        torch.cat([part.images for part in parts]),
        torch.cat(labels),
        tuple(name for part in parts for name in part.classes),
        levels=max(part.levels for part in parts),
        finer=parts[0].finer,
    )
