"""Many pictures of a folder's classes, to measure large memories: python -m tools.many_pictures FOLDER OUT COUNT.

Each is a picture of FOLDER, turned by up to 8°, of another size by up to 15 % and moved, on white; the same for the
same folder and count.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

DEGREES, LARGER, MOVED = 8.0, 0.15, 0.05  # at most; MOVED: of a picture's side


def make(folder: Path, out: Path, count: int) -> None:
    """Write OUT/CLASS/NUMBER.png, the pictures of FOLDER in turn."""
    files = sorted(folder.rglob("*.png"))
    rng = np.random.default_rng(0)
    for number in range(count):
        file = files[number % len(files)]
        path = out / file.parent.relative_to(folder) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            _varied(image.convert("RGBA"), rng).save(path)


def _varied(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Grey, on white."""
    whole = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L")
    angle, scale = np.deg2rad(rng.uniform(-DEGREES, DEGREES)), 1 + rng.uniform(-LARGER, LARGER)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    middle = np.array(image.size) / 2
    start = middle - turn @ middle + rng.uniform(-MOVED, MOVED, 2) * image.size
    coefficients = (*turn[0], start[0], *turn[1], start[1])
    return whole.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=255)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Many pictures of a folder's classes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    make(given.folder, given.out, given.count)
