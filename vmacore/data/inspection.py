"""Pictures before and after their preparation, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vmacore.data.braille import braille
from vmacore.data.folders import files_of
from vmacore.data.pictures import LEVELS, Preparation, Shades, open_picture
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError, writing
from vmacore.files import replacing

CELL = 156  # pixels of a picture's side on a sheet: three for each of a finer view of 52


@dataclass(frozen=True, eq=False)
class Inspected:
    """A picture and what is read of it.

    finer: None if it can't be used. words: its size and mode, or why not.
    """

    path: Path
    image: Image.Image | None
    finer: Shades | None
    words: str

    @property
    def pixels(self) -> np.ndarray:
        """x [H, W], ink or none."""
        assert self.finer is not None
        shades = torch.from_numpy(self.finer)[None, None].float() / LEVELS
        return np.asarray(pixels_of(shades)[0, 0].bool())

    @property
    def ink(self) -> float:
        """The part of the pixels that is ink."""
        return float(self.pixels.mean())

    def numbers(self) -> dict[str, Any]:
        """For scripts."""
        assert self.image is not None
        return {"width": self.image.width, "height": self.image.height, "mode": self.image.mode, "ink": self.ink}


def inspect_pictures(paths: Iterable[Path], preparation: Preparation) -> list[Inspected]:
    """Every picture named, and those in folders that are."""
    return [_inspect(file, preparation) for file in files_of(paths)]


def _inspect(path: Path, preparation: Preparation) -> Inspected:
    image = None
    try:
        image = open_picture(path)
        finer = preparation.finer(image)
    except VmaError as error:
        return Inspected(path, image, None, f"can't be used: {error}")
    found = Inspected(path, image, finer, "")
    return replace(found, words=f"{image.width}×{image.height} {image.mode}, ink {found.ink:.1%} of the pixels")


def preview(item: Inspected, width: int = 80) -> str:
    """In Braille: the picture, and the pixels of the drawing beside it."""
    assert item.image is not None
    pixels = item.pixels
    H, W = pixels.shape
    grey = np.asarray(on_paper(item.image).convert("L").resize(_fitting(item.image.size, 2 * W, 2 * H)))
    dark = grey < (int(grey.min()) + int(grey.max())) / 2
    before, after = braille(torch.from_numpy(dark)), braille(torch.from_numpy(pixels))
    room = max(len(before), len(after))
    lines = zip(
        (line.ljust(W) for line in before + [""] * (room - len(before))),
        after + [""] * (room - len(after)),
        strict=True,
    )
    return "\n".join(f"{left} │ {right}"[:width].rstrip() for left, right in lines)


def save_sheet(found: Sequence[Inspected], path: Path) -> None:
    """Write a PNG, a row a picture: as it is, the finer view, and the pixels.

    Raises:
        VmaError: the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise VmaError(f"{path}: pictures are written as PNG; choose a name that ends in .png")
    whole = [item for item in found if item.finer is not None]
    sheet = Image.new("RGB", (3 * (CELL + 6), max(1, len(whole)) * (CELL + 6)), (191, 191, 191))
    for row, item in enumerate(whole):
        assert item.image is not None
        assert item.finer is not None
        views = [
            on_paper(item.image).resize(_fitting(item.image.size, CELL, CELL)),
            Image.fromarray(255 - item.finer).resize((CELL, CELL), Image.Resampling.NEAREST),
            Image.fromarray(np.where(item.pixels, 0, 255).astype(np.uint8)).resize(
                (CELL, CELL), Image.Resampling.NEAREST
            ),
        ]
        for column, view in enumerate(views):
            sheet.paste(view, (column * (CELL + 6) + 3, row * (CELL + 6) + 3))
    with writing(path, "choose another --out"), replacing(path) as file:
        sheet.save(file, format="PNG")


def on_paper(image: Image.Image) -> Image.Image:
    """As it is shown: with white behind what is transparent, and 16 bits as 8."""
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
        return Image.fromarray((255 * values / max(float(values.max()), 1.0)).clip(0, 255).astype(np.uint8))
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _fitting(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """A picture's size within another, its proportions kept."""
    scale = min(width / size[0], height / size[1])
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))
