"""Pictures that tests draw: a letter-like drawing in many encodings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 64


def drawing(kind: int = 0, shift: int = 0, width: int = 6, side: int = SIDE) -> Image.Image:
    """Dark on white, antialiased: an R, an S-like curve, a cross or a ring, moved by some pixels."""
    big = Image.new("L", (4 * side, 4 * side), 255)
    draw = ImageDraw.Draw(big)
    pen, unit = 4 * width * side // SIDE, 4 * side // 16
    x, y = 5 * unit + 4 * shift, 3 * unit + 2 * shift
    if kind == 0:
        draw.line([(x, y), (x, y + 10 * unit)], fill=0, width=pen)
        draw.arc([x - 2 * unit, y, x + 4 * unit, y + 5 * unit], -90, 90, fill=0, width=pen)
        draw.line([(x, y + 5 * unit), (x + 4 * unit, y + 10 * unit)], fill=0, width=pen)
    elif kind == 1:
        draw.arc([x, y, x + 5 * unit, y + 5 * unit], 90, 330, fill=0, width=pen)
        draw.arc([x, y + 5 * unit, x + 5 * unit, y + 10 * unit], -90, 150, fill=0, width=pen)
    elif kind == 2:
        draw.line([(x, y + 4 * unit), (x + 6 * unit, y + 4 * unit)], fill=0, width=pen)
        draw.line([(x + 3 * unit, y), (x + 3 * unit, y + 9 * unit)], fill=0, width=pen)
    else:
        draw.ellipse([x, y, x + 5 * unit, y + 8 * unit], outline=0, width=pen)
    return big.resize((side, side), Image.Resampling.BOX)


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def ink(image: Image.Image) -> np.ndarray:
    """How dark a grey picture is, 0 … 1."""
    return 1 - np.asarray(image, dtype=np.float64) / 255


def save_classes(folder: Path, counts: dict[str, int]) -> None:
    """PNGs FOLDER/CLASS/n.png, each class a drawing of its own, each picture moved and in another pen."""
    for kind, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            drawing(kind % 4, number % 5, 3 + kind // 4 + number % 3).save(folder / name / f"{number}.png")
