"""Made-up symbols of a few shapes each, as signs and icons are: filled, hollow or outlined, drawing by drawing.

A class is one to four shapes (polygons, stars, ellipses, bars, arcs) at places of their own, some of them cut out of
those before. A drawing moves each a little, and draws all with one pen: filled, or as outlines of some width, since
what one set of icons fills another outlines. All follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vmacore.data.characters import Characters, Dataset
from vmacore.data.sets.omniglot import QUARTERS, inked
from vmacore.data.views import quarters

PROTOCOLS: tuple[str, ...] = ("standard",)
SIDE = 104  # pixels drawn, four for one of x
DRAWINGS = 20
CLASSES = {"train": 800, "validation": 100, "test": 100}
WIDTHS = (3, 5, 7, 10)  # of a pen
KINDS = ("polygon", "star", "ellipse", "bar", "arc")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """One shape, in a box of −1 … 1 each way: its outline [P, 2], closed or not, and whether it is cut out."""

    outline: Floats
    closed: bool
    cut: bool


def _shape(rng: Generator, first: bool) -> Shape:
    kind = KINDS[rng.integers(len(KINDS))]
    middle = rng.uniform(-0.25, 0.25, 2) if first else rng.uniform(-0.7, 0.7, 2)
    size = rng.uniform(0.55, 0.95) if first else rng.uniform(0.2, 0.6)
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else np.pi / 4 * rng.integers(8)
    if kind == "bar":
        length, width = size, size * rng.uniform(0.1, 0.35)
        points = np.array([[-length, -width], [length, -width], [length, width], [-length, width]])
    elif kind == "polygon":
        angle = 2 * np.pi * (np.arange(corners := int(rng.integers(3, 8))) + 0.5) / corners
        points = size * np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.75, 1.0, (corners, 1))
    elif kind == "star":
        angle = 2 * np.pi * np.arange(corners := 2 * int(rng.integers(4, 7))) / corners
        radius = np.where(np.arange(corners) % 2, rng.uniform(0.35, 0.6), 1.0)[:, None]
        points = size * radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    else:
        sweep = rng.uniform(1.0, 1.6) * np.pi if kind == "arc" else 2 * np.pi
        angle = np.linspace(0, sweep, 40, endpoint=kind == "arc")
        points = size * np.stack([np.cos(angle), rng.choice([1.0, 0.6]) * np.sin(angle)], 1)
    cos, sin = np.cos(turn), np.sin(turn)
    return Shape(points @ np.array([[cos, sin], [-sin, cos]]) + middle, kind != "arc", not first and rng.random() < 0.4)


def _drawing(shapes: list[Shape], rng: Generator) -> NDArray[np.uint8]:
    """Ink 0 or 1 [SIDE, SIDE]."""
    filled, width = rng.random() < 0.5, int(rng.choice(WIDTHS))
    scale = rng.uniform(0.32, 0.42) * SIDE
    angle, slant = np.radians(rng.normal(0, 5)), rng.normal(0, 0.08)
    stretch = np.exp(rng.normal(0, 0.07, 2))
    affine = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle) + slant, np.cos(angle)]]) * stretch
    away = SIDE / 2 + rng.normal(0, 3, 2)
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        points = (shape.outline + rng.normal(0, 0.03, 2)) @ affine * rng.uniform(0.95, 1.05) * scale + away
        corners = [(float(x), float(y)) for x, y in points]
        if filled and shape.closed:
            pen.polygon(corners, fill=0 if shape.cut else 1)
        else:
            line = [*corners, *(corners[:2] if shape.closed else [])]
            pen.line(line, fill=0 if shape.cut and filled else 1, width=width, joint="curve")
    return np.asarray(image, dtype=np.uint8)


def make_shapes(n_classes: int, *, seed: int = 0, first: int = 0, finer: bool = False) -> Characters:
    """Classes `first`, `first` + 1, … of the endless collection that belongs to the seed, 20 drawings each.

    Returns:
        binary images [20 · n_classes, 26, 26], or the finer view of the same [20 · n_classes, 52, 52].
    """
    images, names = [], []
    for number in range(first, first + n_classes):
        rng = np.random.default_rng([seed, number])
        shapes = [_shape(rng, not place) for place in range(int(rng.integers(1, 5)))]
        images += [_drawing(shapes, rng) for _ in range(DRAWINGS)]
        names.append(f"Shapes/symbol{number:04d}")
    shades = quarters(np.stack(images))
    return Characters(
        torch.from_numpy(shades if finer else inked(shades)),
        torch.arange(n_classes).repeat_interleave(DRAWINGS),
        tuple(names),
        levels=QUARTERS if finer else 1,
        finer=finer,
    )


def load(seed: int = 0, *, finer: bool = False) -> Dataset:
    """800 classes train, 100 validate, 100 test."""
    splits, first = [], 0
    for count in CLASSES.values():
        splits.append(make_shapes(count, seed=seed, first=first, finer=finer))
        first += count
    return Dataset("shapes", "standard", f"shapes, seed {seed}, 26×26", "exact", *splits)


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(seed)


def open_finer(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """The same in the finer view."""
    return load(seed, finer=True)
