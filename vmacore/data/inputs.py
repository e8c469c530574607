"""Pictures as programs hold them, files, Pillow's and arrays, in the finer view of drawings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vmacore.data.pictures import Preparation, open_picture
from vmacore.data.views import ZOOM
from vmacore.errors import Blank, VmaError


def read_inputs(pictures: Sequence[object], preparation: Preparation) -> Tensor:
    """Drawings uint8 [N, 2H, 2W] of pictures of any kinds that `as_image` takes; without ink where one is blank.

    Raises:
        VmaError: a picture that cannot be read; the message says which.
    """
    H, W = (ZOOM * side for side in preparation.size)
    drawings = np.zeros((len(pictures), H, W), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        try:
            drawings[number] = preparation.finer(as_image(picture))
        except Blank:
            continue
        except VmaError as error:
            name = picture if isinstance(picture, str | Path) else f"picture {number}"
            raise VmaError(f"{name} can't be used: {error}") from error
    return torch.from_numpy(drawings)


def as_image(picture: object) -> Image.Image:
    """A picture as Pillow has it: one of Pillow's, a file by its path, or an array [H, W], [H, W, 1], [H, W, 3 or 4].

    Bytes reach from 0 to 255, unless none is above 1, and numbers of colours from 0 to 1. Of other numbers [H, W], as
    of pictures of 16 bits, only the differences within a picture count, and the whole range is taken for full contrast
    if it is more than 1.

    Raises:
        VmaError: nothing of these, or a file that cannot be read; the message does not name it.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | Path):
        return open_picture(Path(picture))
    numbers = np.asarray(picture)
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[:, :, 0]
    if numbers.dtype.kind not in "buif" or 0 in numbers.shape or not np.isfinite(numbers).all():
        raise VmaError("it is no array of finite numbers: give pictures as paths, as Pillow's, or as arrays of numbers")
    if numbers.ndim == 3 and numbers.shape[2] in (3, 4):
        if numbers.dtype != np.uint8 and (numbers.min() < 0 or numbers.max() > 1):
            raise VmaError("its colours are neither bytes nor numbers from 0 to 1: divide them by their largest value")
        return Image.fromarray(numbers if numbers.dtype == np.uint8 else np.round(255 * numbers).astype(np.uint8))
    if numbers.ndim != 2:
        raise VmaError(f"it has the shape {list(numbers.shape)}: give [H, W], or [H, W, 3] for colours")
    if numbers.dtype == np.bool_ or (numbers.dtype == np.uint8 and numbers.max() <= 1):
        return Image.fromarray(numbers.astype(np.uint8) * np.uint8(255))
    return Image.fromarray(numbers if numbers.dtype == np.uint8 else numbers.astype(np.float32))


def sides_of(features: int) -> tuple[int, int]:
    """Height and width of the picture that a row of so many features is: of all that fit, the nearest to a square."""
    height = next(side for side in range(int(features**0.5), 0, -1) if features % side == 0)
    return height, features // height
