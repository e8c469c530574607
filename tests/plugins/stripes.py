"""A data set: stripes of a width and a direction, a class each, at places that vary."""

from __future__ import annotations

from pathlib import Path

import torch

from vmacore.data.characters import Characters, Dataset

PROTOCOLS = ("standard",)
SIZE, DRAWINGS = 8, 10


def characters(widths: range) -> Characters:
    """Two classes for each width, upright and lying."""
    place = torch.arange(SIZE)
    rows = [(place + shift) // width % 2 for width in widths for shift in range(DRAWINGS)]
    upright = torch.stack(rows)[:, None].expand(-1, SIZE, SIZE).view(len(widths), DRAWINGS, SIZE, SIZE)
    images = torch.stack([upright, upright.transpose(2, 3)], 1).reshape(-1, SIZE, SIZE).to(torch.uint8)
    names = tuple(f"width {width}/{way}" for width in widths for way in ("upright", "lying"))
    return Characters(images, torch.arange(len(names)).repeat_interleave(DRAWINGS), names, 1)


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    splits = [characters(widths) for widths in (range(1, 5), range(5, 7), range(3, 5))]
    return Dataset("stripes", protocol, "8×8", "exact", *splits)
