"""Where a picture has ink, and how much: what stands out from its paper, whichever of the two is darker.

Paper is what lies along the edges. In a picture with a transparent background, ink is what is opaque. A frame around a
picture is neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from vmacore.errors import Blank, VmaError

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LONGEST = 512  # pictures of twice that and more are reduced first
SAME = 0.04  # of full contrast: colours that differ by less are one
OTHER = 0.2  # colours that differ by more are two, also in a noisy picture
FAINTEST = 0.06  # ink that differs less from its paper is none
NOISE = 4.0  # ink stands out of its paper by so many standard deviations of its noise
GRAINY = 0.05  # noise beside the strongest ink from which a picture is smoothed
MARGIN = 0.1  # of a picture's sides: a line around the picture lies within
SMALL = 16  # pixels of a side: the drawing may fill so small a picture, and leave too little paper to see its light
POINTS = 4096  # of a picture that its paper is fitted to
BETWEEN_EIGHT = np.ones((3, 3), dtype=bool)  # pixels that touch by a corner go together


def ink_of(image: Image.Image) -> Floats:
    """Ink [H, W] in [0, 1] of a picture in any mode, inside the frame if it has one.

    Raises:
        Blank: nothing in the picture stands out.
    """
    colours, alpha = _colours(image)
    if alpha is None and min(image.size) < SMALL:
        ink = _with_margin(colours)
    elif alpha is None or np.median(_edge(alpha)) > 0.5:
        ink = _on_paper(colours if alpha is None else _filled(colours, alpha))
    else:
        box = _bounds(alpha > 0.5)
        sheet = colours[box]  # a picture within a transparent margin, unless it is all of one colour
        solid = sheet.size > 0 and (alpha[box] > 0.5).mean() > 0.98
        ink = (
            _on_paper(sheet) if solid and np.ptp(sheet, (0, 1)).max() > OTHER else _contrasted(_opaque(colours, alpha))
        )
    if ink is None:
        raise Blank("it is blank: nothing in it stands out from its edges")
    return ink


def _colours(image: Image.Image) -> tuple[Floats, Floats | None]:
    """Colours [H, W, C] and opacity [H, W] in [0, 1], of at most twice LONGEST pixels a side."""
    factor = max(1, max(image.size) // LONGEST)
    if image.mode.startswith(("I", "F")):  # 16 bits and more; only differences within a picture count
        # In float64, in which the range of the largest numbers of float32 is still a number.
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
        values = ((values - values.min()) / max(float(np.ptp(values)), 1.0)).astype(np.float32)
        return np.asarray(Image.fromarray(values).reduce(factor), dtype=np.float32)[:, :, None], None
    transparent = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
    mode = "RGBA" if transparent else "L" if image.mode in ("1", "L") else "RGB"
    try:
        image = image.convert(mode)
    except ValueError as error:
        raise VmaError(f"its colours ({image.mode}) can't be converted to RGB") from error
    bands = [np.asarray(band) for band in image.reduce(factor).split()]
    alpha = bands.pop() if transparent else None
    if all(np.array_equal(bands[0], band) for band in bands):
        bands = bands[:1]  # grey: a third of the work
    colours = np.stack(bands, 2).astype(np.float32) / np.float32(255)
    if alpha is None or not alpha.any():
        return colours, None if alpha is None else alpha.astype(np.float32)
    opacity = alpha.astype(np.float32) / np.float32(alpha.max())  # the same at half opacity
    return colours, None if (opacity == 1).all() else opacity


def _opaque(colours: Floats, alpha: Floats) -> Floats:
    """What is opaque, of a drawing in one colour the less the nearer it comes to white or black, whichever is farther.

    So the soft edges of a drawing count as such where they are opaque. Its colour is that inside, where strokes have
    an inside: of thin ones, most is edge.
    """
    opaque = alpha > 0.5
    inside = ndimage.binary_erosion(opaque, BETWEEN_EIGHT)
    drawn = colours[inside if inside.any() else opaque]
    if not len(drawn):
        return alpha
    own = np.median(drawn, 0)
    if (_norm(drawn - own) < OTHER).mean() < 0.6:
        return alpha
    other = np.float32(own.mean() < 0.5)
    return np.asarray(alpha * np.minimum(_norm(colours - other) / _norm(own - other), 1), dtype=np.float32)


def _filled(colours: Floats, alpha: Floats) -> Floats:
    """Transparent parts of a picture whose edges are opaque, as its paper."""
    paper = np.median(_edge(colours), 0)
    return np.asarray(paper + alpha[:, :, None] * (colours - paper), dtype=np.float32)


def _edge(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What lies along the edges, [P, …]."""
    width = max(1, min(values.shape[:2]) // 50)
    inner = np.zeros(values.shape[:2], dtype=bool)
    inner[width:-width, width:-width] = True
    return values[~inner]


def _on_paper(colours: Floats, framed: bool = False) -> Floats | None:
    """Ink on opaque paper; None if there is none. framed: the picture stands in a frame that is cut off already."""
    inside = None if framed else _inside(colours)
    if inside is not None:
        ink = _on_paper(inside, framed=True)
        if ink is not None and (ink > 0.5).mean() < 0.5 and not _solid(ink > 0.5):
            return ink
    paper, shaded = _paper(colours)
    differences = colours - paper
    if shaded:  # less light on the paper is less contrast
        differences /= np.maximum(paper.mean(2), OTHER)[:, :, None]
    distance = _norm(differences)
    if shaded and _noise(distance) > GRAINY * distance.max():  # which is noise in the dark as well
        distance = _norm(ndimage.gaussian_filter(differences, (1, 1, 0)))
    ink = _contrasted(distance)
    return None if ink is None else _without_line_around(ink)


def _with_margin(colours: Floats) -> Floats | None:
    """Ink [H, W] of colours [H, W, C] as if there was paper around."""
    H, W, C = colours.shape
    around = np.broadcast_to(np.median(_edge(colours), 0), (3 * H, 3 * W, C)).astype(np.float32)
    around[H : 2 * H, W : 2 * W] = colours
    ink = _on_paper(around, framed=True)
    return None if ink is None else ink[H : 2 * H, W : 2 * W]


def _norm(differences: Floats) -> Floats:
    return np.sqrt(np.einsum("...c,...c->...", differences, differences) / differences.shape[-1])


def _noise(distance: Floats) -> float:
    """The standard deviation of noise, of distances that are mostly those of paper: half lie within 0.67 of it."""
    return float(np.median(distance)) / 0.67


def _inside(colours: Floats) -> Floats | None:
    """What a frame along the edges, all of one colour, leaves of a picture; None without one."""
    edge = _edge(colours)
    frame = np.median(edge, 0)
    if (_norm(edge - frame) < OTHER).mean() < 0.9:
        return None
    distance = _norm(colours - frame)
    other = distance > OTHER
    rows, columns = np.flatnonzero(other.mean(1) > 0.5), np.flatnonzero(other.mean(0) > 0.5)
    if not len(rows) or not len(columns):
        return None
    soft = 1 + max(colours.shape[:2]) // 100  # the edge between the two
    box = slice(rows[0] + soft, rows[-1] + 1 - soft), slice(columns[0] + soft, columns[-1] + 1 - soft)
    if min(other[box].shape) < 4 or _edge(other[box]).mean() < 0.98:
        return None
    if np.median(_edge(distance[box])) < 2 * OTHER:  # it grows step by step, as light does
        return None
    return colours[box]


def _paper(colours: Floats) -> tuple[Floats, bool]:
    """The colour of the paper, [C] or, where light falls on it unevenly, [H, W, C]; and whether it does."""
    H, W, C = colours.shape
    edge = _edge(colours)
    flat = np.median(edge, 0)
    along = (_norm(edge - flat) < SAME).mean()
    if along > 0.9 or (along > 0.5 and (_norm(colours - flat) < SAME).mean() > 0.5):
        return flat, False
    y, x = np.meshgrid(np.linspace(-1, 1, H, dtype=np.float32), np.linspace(-1, 1, W, dtype=np.float32), indexing="ij")
    terms = np.stack([x**i * y**j for i in range(5) for j in range(5 - i)], 2)
    parabola = [number for number, (i, j) in enumerate((i, j) for i in range(5) for j in range(5 - i)) if i + j <= 2]
    some = slice(None, None, max(1, round((H * W / POINTS) ** 0.5)))
    near, values = terms[some, some].reshape(-1, terms.shape[2]), colours[some, some].reshape(-1, C)
    # Little bends at first, and along the edges, where most is paper; then all of it, ever less of the ink.
    rough = _fit(_edge(terms)[:, parabola], edge, 20 * [1.0])
    rough = _fit(near[:, parabola], values, 10 * [1.0], rough)
    start = np.zeros((terms.shape[2], C), dtype=np.float32)
    start[parabola] = rough
    return np.asarray(terms @ _fit(near, values, 10 * [1.0] + 10 * [2.0], start), dtype=np.float32), True


def _fit(terms: Floats, values: Floats, powers: list[float], fit: Floats | None = None) -> Floats:
    """Coefficients [T, C] of values [P, C], by least squares again and again with less weight for points far off.

    powers: 1 makes for least absolute distances, 2 all but leaves out what differs by more than SAME. fit: where to
    start; None: from least squares.
    """
    weights = np.ones(len(terms), dtype=np.float32)
    for power in powers:
        if fit is not None:
            weights = (1 + _norm(values - terms @ fit) / SAME) ** (-power / 2)
        fit = np.linalg.lstsq(terms * weights[:, None], values * weights[:, None], rcond=None)[0]
    assert fit is not None
    return fit


def _contrasted(distance: Floats) -> Floats | None:
    """Ink in [0, 1] of distances [H, W] from the paper, none within its noise; None if there is none at all.

    Half the mean distance of the ink parts it from the paper; around that shades go from 0 to 1.
    """
    threshold = float(distance.max()) / 2
    if threshold <= 0:
        return None
    for _ in range(10):
        level = float(distance[distance > threshold].mean())
        threshold = level / 2
    paper = distance[distance <= threshold]
    if not len(paper) or level < max(FAINTEST, NOISE * _noise(paper)):
        return None
    return np.asarray(np.clip(distance / threshold - 0.5, 0, 1), dtype=np.float32)


def _without_line_around(ink: Floats) -> Floats:
    """Without a closed line along all four sides, if there is ink besides."""
    H, W = ink.shape
    top, left = int(MARGIN * H), int(MARGIN * W)
    strips = ink[: top + 1], ink[H - top - 1 :], ink[:, : left + 1].T, ink[:, W - left - 1 :].T
    if not all(((strip > 0.5).mean(1) > 0.8).any() for strip in strips):
        return ink
    parts, _ = ndimage.label(ink > 0.1, BETWEEN_EIGHT)
    inner = np.unique(parts[top : H - top, left : W - left])
    lines = ~np.isin(parts, inner) & (parts > 0)
    rest = np.where(lines, np.float32(0), ink)
    return rest if (rest > 0.5).any() else ink


def _bounds(mask: Mask) -> tuple[slice, slice]:
    """The rows and columns between the first and the last that are set; empty where nothing is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _solid(mask: Mask) -> bool:
    """Whether it is a full rectangle."""
    return bool(mask[_bounds(mask)].mean() > 0.9)
