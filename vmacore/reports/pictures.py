"""Pictures inside a page: small ones, as data URIs."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vmacore.data.inspection import on_paper
from vmacore.data.pictures import open_picture
from vmacore.errors import VmaError

LONGEST = 128  # pixels of a thumbnail's longer side
GREYS = 17  # shades of a drawing: more would only make it larger


def drawing(image: Tensor) -> str:
    """Ink [H, W] in [0, 1], dark on white."""
    ink = image.detach().cpu().float().nan_to_num().clamp(0, 1).numpy()
    levels = np.rint((1 - ink) * (GREYS - 1)) / (GREYS - 1)
    return _uri(Image.fromarray((255 * levels).astype(np.uint8)), "PNG", optimize=True)


def thumbnail(picture: Image.Image) -> str | None:
    """A picture as it is, on white paper where it is transparent, no side longer than LONGEST.

    None where its colours are none that can be shown.
    """
    try:
        small = on_paper(picture)
    except ValueError:
        return None
    small.thumbnail((LONGEST, LONGEST))
    kinds = _uri(small, "PNG", optimize=True), _uri(small, "JPEG", quality=80)
    return min(kinds, key=len)  # line drawings are smaller as the one, photographs as the other


def thumbnail_of(file: Path) -> str | None:
    """That of a picture in a file; None where it cannot be shown."""
    try:
        return thumbnail(open_picture(file))
    except VmaError:
        return None


def _uri(picture: Image.Image, kind: str, **how: Any) -> str:
    file = BytesIO()
    picture.save(file, kind, **how)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
