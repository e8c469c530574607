"""Printed characters in the fonts that come with matplotlib: letters, digits and signs with nothing to download.

A class is a character that at least three of four font families have, a drawing one face of a family: plain, bold,
slanted or both. Of characters that look alike, upright, turned or mirrored, one stays. Left out are also those with
accents, parts of lines and frames, and the letters of Armenian and Georgian, so that weights which learned these
classes can be judged on scripts that they never saw. The fonts are DejaVu (Bitstream Vera licence) and STIX (OFL 1.1).
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from vmacore.data.characters import Characters, Dataset
from vmacore.data.sets.omniglot import QUARTERS, inked
from vmacore.data.views import quarters
from vmacore.errors import VmaError

PROTOCOLS: tuple[str, ...] = ("standard",)
SIDE = 104  # pixels drawn, four for one of x
EM = 160  # pixels of a font's em before a drawing is brought to its size
SIZES = (0.5, 0.85)  # of SIDE: the longer side of a class's largest drawing is between
FAMILIES = {
    "DejaVu Sans": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    "DejaVu Sans Mono": (
        "DejaVuSansMono",
        "DejaVuSansMono-Bold",
        "DejaVuSansMono-Oblique",
        "DejaVuSansMono-BoldOblique",
    ),
    "DejaVu Serif": ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    "STIX": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
}
FEWEST_FAMILIES, FEWEST_DRAWINGS = 3, 8  # as many drawings as an episode of the paper takes of a class
CATEGORIES = ("Lu", "Ll", "Lo", "N", "P", "Sc", "Sm", "So")  # of Unicode: no spaces, no accents by themselves
# Armenian and Georgian; parts of frames and blocks; Braille; letters of formulas, which are others' styles.
LEFT_OUT = ((0x530, 0x58F), (0x10A0, 0x10FF), (0x2500, 0x259F), (0x2800, 0x28FF), (0x1D400, 0x1D7FF))
ALIKE = 0.85  # cosine of two blurred drawings of one size
COARSE, BLUR = 16, 0.5  # pixels: a side of these, and the standard deviation

Ink = NDArray[np.uint8]
Floats = NDArray[np.float64]


def make_printed(*, seed: int = 0, finer: bool = False) -> Characters:
    """All classes, in the order of their characters.

    seed: decides how large each class is drawn.

    Returns:
        binary images [P, 26, 26], or the finer view of the same [P, 52, 52].

    Raises:
        VmaError: matplotlib comes without one of the fonts.
    """
    fonts = _fonts()
    names: list[str] = []
    drawings: list[Ink] = []
    labels: list[int] = []
    for character, faces in sorted(_unlike(_candidates(fonts), fonts).items()):
        drawn = _drawings(character, [fonts[face] for face in faces], np.random.default_rng([seed, ord(character)]))
        if len(drawn) >= FEWEST_DRAWINGS:
            labels += [len(names)] * len(drawn)
            names.append(f"Printed/{unicodedata.name(character).lower().replace(' ', '-')}")
            drawings += drawn
    shades = quarters(np.stack(drawings))
    return Characters(
        torch.from_numpy(shades if finer else inked(shades)),
        torch.tensor(labels),
        tuple(names),
        levels=QUARTERS if finer else 1,
        finer=finer,
    )


def load(seed: int = 0, *, finer: bool = False) -> Dataset:
    """Of ten classes eight train, one validates and one tests."""
    every = make_printed(seed=seed, finer=finer)
    turn = torch.arange(every.n_classes) % 10
    splits = [every.select(chosen.nonzero().squeeze(1).tolist()) for chosen in (turn % 5 != 4, turn == 4, turn == 9)]
    return Dataset("printed", "standard", f"printed characters, seed {seed}, 26×26", "exact", *splits)


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(seed)


def open_finer(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """The same in the finer view."""
    return load(seed, finer=True)


def _fonts() -> dict[str, ImageFont.FreeTypeFont]:
    """The font of each face."""
    import matplotlib  # slow to import, and of use only here

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    try:
        return {face: ImageFont.truetype(folder / f"{face}.ttf", EM) for faces in FAMILIES.values() for face in faces}
    except OSError as error:
        raise VmaError(f"a font is missing in {folder} ({error}): install matplotlib again") from error


def _candidates(fonts: dict[str, ImageFont.FreeTypeFont]) -> dict[str, list[str]]:
    """The faces that have each character, of characters that enough families have; those in most faces first."""
    from matplotlib.ft2font import FT2Font

    having: dict[int, list[str]] = {}
    for face, font in fonts.items():
        for code in FT2Font(str(font.path)).get_charmap():
            having.setdefault(code, []).append(face)
    chosen = {
        chr(code): faces
        for code, faces in having.items()
        if sum(any(face in faces for face in family) for family in FAMILIES.values()) >= FEWEST_FAMILIES
        and unicodedata.category(chr(code)).startswith(CATEGORIES)
        and not unicodedata.decomposition(chr(code))
        and not any(first <= code <= last for first, last in LEFT_OUT)
    }
    return dict(sorted(chosen.items(), key=lambda item: (-len(item[1]), item[0])))


def _unlike(candidates: dict[str, list[str]], fonts: dict[str, ImageFont.FreeTypeFont]) -> dict[str, list[str]]:
    """Those that look like none before them in any of the square's eight symmetries, brought to one size."""
    drawn = {character: _cropped(character, fonts[faces[0]]) for character, faces in candidates.items()}
    characters = [character for character, image in drawn.items() if image is not None]
    coarse = np.stack([_coarse(image) for image in drawn.values() if image is not None])  # [C, COARSE, COARSE]
    cosines = np.full((len(coarse), len(coarse)), -1.0)
    for upright in (coarse, coarse.swapaxes(1, 2)):
        for turns in range(4):
            turned = np.rot90(upright, turns, axes=(1, 2))
            np.maximum(cosines, np.einsum("cij,dij->cd", coarse, turned, optimize=True), out=cosines)
    kept: list[int] = []
    for number in range(len(characters)):
        if not (cosines[number, kept] >= ALIKE).any():
            kept.append(number)
    return {characters[number]: candidates[characters[number]] for number in kept}


def _coarse(image: Image.Image) -> Floats:
    """A drawing blurred [COARSE, COARSE], of length 1."""
    placed = _placed(image, (COARSE - 2) / max(image.size), COARSE).astype(np.float64)
    blurred: Floats = ndimage.gaussian_filter(placed, BLUR)
    return blurred / np.linalg.norm(blurred)


def _drawings(character: str, fonts: list[ImageFont.FreeTypeFont], rng: np.random.Generator) -> list[Ink]:
    """Ink 0 or 1 [SIDE, SIDE] by each font, the same scale for all; none that is blank or another's equal."""
    drawn = [image for font in fonts if (image := _cropped(character, font)) is not None]
    scale = rng.uniform(*SIZES) * SIDE / max(max(image.size) for image in drawn)
    placed = {one.tobytes(): one for one in (_placed(image, scale, SIDE) for image in drawn) if one.any()}
    return list(placed.values())


def _cropped(character: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """White on black, cropped to it; None if there is nothing."""
    image = Image.new("L", (3 * EM, 3 * EM))
    ImageDraw.Draw(image).text((1.5 * EM, 2 * EM), character, fill=255, font=font, anchor="ms")
    box = image.getbbox()
    return image.crop(box) if box else None


def _placed(image: Image.Image, scale: float, side: int) -> Ink:
    """Ink 0 or 1 [side, side] of a drawing, scaled, in the middle."""
    width, height = (max(1, round(scale * length)) for length in image.size)
    paper = Image.new("L", (side, side))
    paper.paste(image.resize((width, height), Image.Resampling.BOX), ((side - width) // 2, (side - height) // 2))
    return (np.asarray(paper) > 127).astype(np.uint8)
