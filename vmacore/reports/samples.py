"""Samples in rows: a slot, and images drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.sampling import Grid, sample_grid
from vmacore.models.base import GenerativeModel
from vmacore.reports.pictures import drawing

ROWS, COLUMNS = 8, 8
GAP = 2  # pixels between images
GREY = 0.15  # of them


@dataclass(frozen=True)
class Row:
    """slot: its picture, None where it is no image or where none is drawn; label: its class, where it has one.

    drawn: COLUMNS images side by side, as one picture.
    """

    slot: str | None
    label: str | None
    drawn: str


def samples(
    model: GenerativeModel, characters: Characters, *, seed: int = 0, device: torch.device | str = "cpu"
) -> list[Row]:
    """Means of the pixels, drawn from a slot of each of ROWS classes; of a learned memory, from slots drawn by p(a).

    Raises:
        VmaError: as in `sample_grid`.
    """
    if model.learned_memory is not None:
        grid = sample_grid(model, None, rows=ROWS, columns=COLUMNS, seed=seed, device=device, address="prior")
        return _rows(grid, [None] * ROWS)
    way = min(ROWS, characters.n_classes)
    grid = sample_grid(model, characters, classes=way, columns=COLUMNS, seed=seed, device=device)
    episode = EpisodeSampler(characters, n_way=way, n_shot=1, n_target=0, seed=seed).at(0)  # as sample_grid draws it
    names = [characters.classes[c] for c in characters.labels[episode.memory_index].tolist()]
    return _rows(grid, names if model.addressed else [None] * len(grid.slots))


def _rows(grid: Grid, labels: Sequence[str | None]) -> list[Row]:
    slots = [None if bool(slot.isnan().any()) else drawing(slot) for slot in grid.slots]
    drawn = [drawing(_side_by_side(row)) for row in grid.samples]
    return [Row(*row) for row in zip(slots, labels, drawn, strict=True)]


def _side_by_side(images: Tensor) -> Tensor:
    """Images [C, H, W] as one [H, C · (W + GAP) − GAP]."""
    return torch.cat([F.pad(image, (0, GAP), value=GREY) for image in images], 1)[:, :-GAP]
