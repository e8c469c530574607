"""Pictures of one's own: whatever Pillow reads, in the finer view of a drawing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from vmacore.data.ink import BETWEEN_EIGHT, Floats, ink_of
from vmacore.data.views import FAINTEST, ZOOM
from vmacore.errors import Blank, VmaError, reason
from vmacore.spelling import choose_one_of

LEVELS = 255  # full ink in the finer view
FRAMES = ("ink", "image")
MOST_PIXELS = 2**26
EDGE = 0.7  # pixels: standard deviation of what softens the edges of ink that is all or nothing
SPECK = 1 / 100  # of the longer side: what is smaller each way, and next to nothing beside the drawing, is dust
_WAY_OUT = "put another in its place, or leave it out"

Shades = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes a drawing.

    size: height and width of x in pixels; the finer view is `ZOOM` times as large.
    as_drawn: whether pictures of either size are taken as they stand.
    frame: "ink" crops to the ink and brings its longer side to `fill` of the drawing's, centred; "image" keeps size and
        place within the picture, where these tell classes apart, as a comma and an apostrophe.
    """

    size: tuple[int, int] = (26, 26)
    frame: str = "ink"
    fill: float = 9 / 13
    as_drawn: bool = True

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise VmaError(f"there is no frame {self.frame!r}; {choose_one_of(self.frame, FRAMES)}")
        if min(self.size) < 1 or not 0 < self.fill <= 1:
            raise VmaError(f"a drawing is {self.size} pixels and {self.fill} of it full: choose 1 or more, and 0 to 1")

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self) | {"size": list(self.size)}

    @staticmethod
    def from_dict(document: Mapping[str, Any]) -> Preparation:
        """The inverse of `to_dict`."""
        return Preparation(**{**document, "size": tuple(document["size"])})

    def in_words(self) -> str:
        """For what stands beside numbers."""
        H, W = self.size
        how = f"cropped to the ink, {self.fill:.0%} full" if self.frame == "ink" else "framed as they are"
        return f"{H}×{W}, pictures {how}"

    def read(self, path: Path) -> Shades:
        """The finer view of the picture in a file.

        Raises:
            VmaError: no picture, a damaged, blank or too large one.
        """
        try:
            return self.finer(open_picture(path))
        except VmaError as error:
            way_out = _WAY_OUT if path.exists() else "give the path of a picture"
            raise VmaError(f"{path} can't be used: {error}; {way_out}") from error

    def finer(self, image: Image.Image) -> Shades:
        """The finer view [2H, 2W] of a picture, 0 … LEVELS.

        Raises:
            Blank: nothing stands out in the picture, or its ink is too thin for a drawing's pixels.
        """
        H, W = (ZOOM * side for side in self.size)
        ink = ink_of(image)
        h, w = ink.shape
        if self.as_drawn and image.size == (W, H):
            drawn = ink
        elif self.as_drawn and image.size == self.size[::-1]:
            drawn = ink.repeat(ZOOM, 0).repeat(ZOOM, 1)
        elif self.frame == "image":
            drawn = _placed(_softened(ink), (h / 2, w / 2), min(H / h, W / w), (H, W))
        else:
            ink, (top, bottom), (left, right) = _bounded(_softened(ink))
            scale = self.fill * min(H, W) / max(bottom - top, right - left)
            drawn = _placed(ink, ((top + bottom) / 2, (left + right) / 2), scale, (H, W))
        if not (drawn > FAINTEST).any():
            raise Blank(f"it is blank at {H}×{W} pixels: its lines are too thin for its {w}×{h}")
        return np.asarray((LEVELS * drawn).round(), dtype=np.uint8)


def open_picture(source: Path | BinaryIO) -> Image.Image:
    """A picture, upright.

    Raises:
        VmaError: it cannot be read, or has too many pixels; the message does not name it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of damaged EXIF data beside a picture that is whole
            with Image.open(source, formats=_formats()) as image:
                if image.width * image.height > MOST_PIXELS:
                    most = f"{MOST_PIXELS / 1e6:.0f} million"
                    raise VmaError(f"it has {image.width}×{image.height} pixels, and more than {most} are not read")
                image.load()
                return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise VmaError(f"it has too many pixels, and more than {MOST_PIXELS / 1e6:.0f} million are not read") from error
    except UnidentifiedImageError as error:
        raise VmaError("it is no picture in a format that is read here (PNG, JPEG, GIF, TIFF, BMP, WebP …)") from error
    except VmaError:
        raise
    except Exception as error:  # of a damaged file parsers raise whatever its bytes lead to
        unread = isinstance(error, OSError) and error.errno is not None  # the system refused it; else Pillow did
        raise VmaError(f"it {'cannot be read' if unread else 'is damaged'}: {reason(error)}") from error


@cache
def _formats() -> list[str]:
    """Those that Pillow reads itself: for PostScript it would start another program, with a file of unknown origin."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _softened(ink: Floats) -> Floats:
    """Ink of one bit with the soft edges around it that it has in a grey picture; other ink as it is."""
    if not np.isin(ink, (0, 1)).all():
        return ink
    return np.maximum(ink, ndimage.gaussian_filter(ink, EDGE))


def _bounded(ink: Floats) -> tuple[Floats, tuple[float, float], tuple[float, float]]:
    """Ink without dust, and where it begins and ends: down and across, in parts of pixels."""
    parts, _ = ndimage.label(ink > 0.5, BETWEEN_EIGHT)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    dust = areas <= min((SPECK * max(ink.shape)) ** 2, areas.max() / 50)
    dust[0] = False
    ink = np.where(dust[parts], np.float32(0), ink)
    return ink, _extent(ink.max(1)), _extent(ink.max(0))


def _extent(profile: Floats) -> tuple[float, float]:
    """Where values of pixels in a line first rise above a half and last fall below it, linear between their middles."""
    padded = np.concatenate([[0.0], profile, [0.0]])
    inked = np.flatnonzero(padded > 0.5)
    first, last = inked[0], inked[-1]
    rise = (padded[first] - 0.5) / (padded[first] - padded[first - 1])
    fall = (padded[last] - 0.5) / (padded[last] - padded[last + 1])
    return float(first - rise - 0.5), float(last + fall - 0.5)


def _placed(ink: Floats, centre: tuple[float, float], scale: float, size: tuple[int, int]) -> Floats:
    """A drawing [H, W] with ink [h, w] scaled, and `centre` of it in the middle."""
    H, W = size
    reach = H / scale / 2, W / scale / 2  # of the drawing, in pixels of the ink
    room = [
        (max(0, math.ceil(half - middle)), max(0, math.ceil(middle + half - side)))
        for half, middle, side in zip(reach, centre, ink.shape, strict=True)
    ]
    top, left = centre[0] - reach[0] + room[0][0], centre[1] - reach[1] + room[1][0]
    box = left, top, left + 2 * reach[1], top + 2 * reach[0]
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    drawn = np.asarray(Image.fromarray(np.pad(ink, room)).resize((W, H), way, box))
    # Between pixels that are far apart, an edge is to be as sharp as elsewhere.
    return np.clip((drawn - 0.5) * scale + 0.5, 0, 1) if scale > 1 else drawn
