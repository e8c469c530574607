"""Omniglot (Lake et al. 2015): 1623 characters of 50 alphabets, each drawn by 20 people.

Preparation: of 105×105 pixels the last row and column are dropped, and 4×4 blocks are max-pooled over ink,
which gives 26×26 pixels that are exactly binary, ink 1. The finer view has the mean ink of 2×2 blocks, 52×52 pixels in
quarters; where it is not 0, max-pooled, it is the 26×26 pixels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from vmacore.data import views
from vmacore.data.archives import wanted_files
from vmacore.data.characters import Characters, Dataset
from vmacore.data.prepared import read_prepared, write_prepared
from vmacore.data.splits import (
    EVALUATION,
    TEST_ALPHABETS,
    alphabet_of,
    split_by_alphabet,
    vinyals_split,
    with_turned,
)
from vmacore.errors import VmaError, reason
from vmacore.spelling import choose_one_of

PROTOCOLS: tuple[str, ...] = (*TEST_ALPHABETS, "vinyals")  # the first is the default
PREPARED = Path("omniglot", "omniglot-26x26-maxpool4.safetensors")
FINER = Path("omniglot", "omniglot-52x52-meanpool2.safetensors")
TITLE = "Omniglot"
BASE_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
FOLDER = PREPARED.parent
REGISTRY = {
    "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
}
PREPARATION = "26×26, last row and column of 105×105 dropped, 4×4 max-pool, ink 1"
FINER_PREPARATION = "52×52 in quarters, last row and column of 105×105 dropped, 2×2 mean, ink 1"
BINARISATION = "none: exactly binary"
DRAWINGS = 20
SIDE = 105
QUARTERS = 4

ALPHABETS: Mapping[str, int] = {
    "Alphabet_of_the_Magi": 20, "Angelic": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41,
    "Asomtavruli_(Georgian)": 40, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26,
    "Balinese": 24, "Bengali": 46, "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26,
    "Burmese_(Myanmar)": 34, "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26, "Ge_ez": 26,
    "Glagolitic": 45, "Grantha": 43, "Greek": 24, "Gujarati": 48, "Gurmukhi": 45, "Hebrew": 22,
    "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Japanese_(hiragana)": 52, "Japanese_(katakana)": 47,
    "Kannada": 41, "Keble": 26, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40, "Malayalam": 47,
    "Manipuri": 40, "Mkhedruli_(Georgian)": 41, "Mongolian": 30, "N_Ko": 33,
    "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14, "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46,
    "Sanskrit": 42, "Sylheti": 28, "Syriac_(Estrangelo)": 23, "Syriac_(Serto)": 23, "Tagalog": 17,
    "Tengwar": 25, "Tibetan": 42, "Tifinagh": 55, "ULOG": 26,
}  # fmt: skip

# ALPHABET/characterNN/NNNN_MM.png, below whatever folders a packing puts on top; MM is one of twenty people.
_DRAWING = re.compile(r"(?:^|/)(?P<alphabet>[^/]+)/(?P<character>character\d\d)/(?P<drawing>\d{4}_\d\d)\.png$")
_WAY_OUT = "run `vma download omniglot` (with `--from PATH` if you have the files)"

Key = tuple[str, str, str]  # alphabet, character, drawing


def load(data_dir: Path, protocol: str = "45-5", *, finer: bool = False) -> Dataset:
    """The prepared characters, split by a protocol (`vmacore.data.splits`). finer: in the finer view.

    Raises:
        VmaError: not prepared yet, the prepared file is damaged, or there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise VmaError(f"Omniglot has no protocol {protocol!r}; {choose_one_of(protocol, PROTOCOLS)}")
    characters = read_finer(data_dir) if finer else read(data_dir)
    turned = protocol == "vinyals"
    split = (
        vinyals_split(characters.classes) if turned else split_by_alphabet(characters.classes, TEST_ALPHABETS[protocol])
    )
    parts = [characters.select(chosen) for chosen in (split.train, split.validation, split.test)]
    train, validation, test = (with_turned(part) for part in parts) if turned else parts
    return Dataset(
        name="omniglot",
        protocol=protocol,
        preparation=f"{PREPARATION}; h sees {FINER_PREPARATION}" if finer else PREPARATION,
        binarisation=BINARISATION,
        train=train,
        validation=validation,
        test=test,
    )


def read(data_dir: Path, alphabets: Mapping[str, int] = ALPHABETS) -> Characters:
    """All prepared characters, sorted by alphabet, character and drawing.

    Raises:
        VmaError: not prepared yet, or the prepared file is damaged.
    """
    path = data_dir / PREPARED
    if not path.exists():
        raise VmaError(f"Omniglot is not in {data_dir}: run `vma download omniglot` (or `--from PATH`)")
    return read_whole(path, PREPARATION, _WAY_OUT + " again", alphabets)


def read_finer(data_dir: Path, alphabets: Mapping[str, int] = ALPHABETS) -> Characters:
    """The same in the finer view.

    Raises:
        VmaError: as in read, or prepared by a version that knew no finer view.
    """
    path = data_dir / FINER
    if not path.exists():
        if (data_dir / PREPARED).exists():
            raise VmaError(f"Omniglot in {data_dir} was prepared without its finer view: {_WAY_OUT} again")
        read(data_dir, alphabets)
    return replace(read_whole(path, FINER_PREPARATION, _WAY_OUT + " again", alphabets), finer=True)


def read_whole(path: Path, preparation: str, way_out: str, alphabets: Mapping[str, int] = ALPHABETS) -> Characters:
    """Prepared characters, which have to be all those of the alphabets, with 20 drawings each.

    Raises:
        VmaError: the prepared file is damaged, or holds others.
    """
    characters = read_prepared(path, preparation, way_out)
    if characters.classes != class_names(alphabets) or not bool((characters.counts == DRAWINGS).all()):
        raise VmaError(f"{path} can't be used: its characters are not Omniglot's; {way_out}")
    return characters


def describe(data_dir: Path) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: as in read.
    """
    return in_words(read(data_dir))


def in_words(characters: Characters) -> str:
    """Such as "1623 characters, 32,460 drawings, 26×26, ink 0.1378"."""
    drawings, height, width = characters.images.shape
    ink = float(characters.images.float().mean())
    return f"{characters.n_classes} characters, {drawings:,} drawings, {height}×{width}, ink {ink:.4f}"


def import_from(source: Path, data_dir: Path, alphabets: Mapping[str, int] = ALPHABETS) -> Path:
    """Read the drawings, prepare them, and write one small file into data_dir; returns its path.

    source: a zip or a folder, packed in any way as long as paths end in ALPHABET/characterNN/NNNN_MM.png: a
        folder that holds the official zips, one zip of both, an extracted tree. Zips are read in memory.
        Contents are checked, not hashes: every character with its 20 drawings of 105×105, ink dark.

    Raises:
        VmaError: something is missing, damaged or not Omniglot's; the prepared file stays as it was.
    """
    finer: dict[Key, npt.NDArray[np.uint8]] = {}
    for match, where, content in wanted_files(source, _DRAWING):
        key = (match["alphabet"], match["character"], match["drawing"])
        image = quarters(decode(content, where))
        if not np.array_equal(finer.setdefault(key, image), image):
            raise VmaError(f"{source} holds two different drawings {'/'.join(key)}.png; give one copy of Omniglot")
    check_complete(list(finer), source, alphabets)

    images = np.stack([finer[key] for key in sorted(finer)])
    classes = class_names(alphabets)
    labels = torch.arange(len(classes)).repeat_interleave(DRAWINGS)
    shades = Characters(torch.from_numpy(images), labels, classes, levels=QUARTERS, finer=True)
    write_prepared(data_dir / FINER, shades, FINER_PREPARATION)
    write_prepared(data_dir / PREPARED, Characters(torch.from_numpy(inked(images)), labels, classes), PREPARATION)
    return data_dir / PREPARED


def quarters(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """105×105 → 52×52, the finer view: the last row and column go, and each pixel counts the ink of a 2×2 block."""
    side = SIDE // 2 * 2
    return views.quarters(ink[:side, :side])


def inked(finer: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[N, 52, 52] → [N, 26, 26]: 2×2 pixels of the finer view with any ink are ink."""
    side = finer.shape[1] // 2
    return np.asarray(finer.reshape(-1, side, 2, side, 2).any(axis=(2, 4)), dtype=np.uint8)


def class_names(alphabets: Mapping[str, int]) -> tuple[str, ...]:
    """Names of all classes, in order."""
    return tuple(f"{name}/character{n:02}" for name in sorted(alphabets) for n in range(1, alphabets[name] + 1))


def check_complete(keys: list[Key], source: Path, alphabets: Mapping[str, int] = ALPHABETS) -> None:
    """Every character of the alphabets 20 times, and nothing else.

    Raises:
        VmaError: one line that says what is missing, or what should not be there.
    """
    if not keys:
        raise VmaError(
            f"no Omniglot in {source}: give a folder with images_background.zip and images_evaluation.zip, "
            "or with their drawings ALPHABET/characterNN/NNNN_MM.png"
        )
    found = dict.fromkeys(class_names(alphabets), 0)
    for alphabet, character, drawing in keys:
        name = f"{alphabet}/{character}"
        if name not in found:
            raise VmaError(f"{source} is not Omniglot as published: it has no character {name} ({drawing}.png)")
        found[name] += 1
    wrong = [name for name, count in found.items() if count != DRAWINGS]
    if not wrong:
        return
    parts: dict[str, list[str]] = {"images_background": [], "images_evaluation": []}
    for name in found:
        parts["images_evaluation" if alphabet_of(name) in EVALUATION else "images_background"].append(name)
    gone = [part for part, names in parts.items() if names and not any(found[name] for name in names)]
    if gone:
        what = f"{gone[0]} ({len(parts[gone[0]])} characters) is missing"
    else:
        what = f"{wrong[0]} has {found[wrong[0]]} of {DRAWINGS} drawings"
        what += f", and {len(wrong) - 1} more are not whole" if len(wrong) > 1 else ""
    raise VmaError(f"Omniglot in {source} is incomplete: {what}; give a folder with both zips, or download anew")


def decode(content: bytes, where: str) -> npt.NDArray[np.bool_]:
    """Ink [105, 105] of a drawing in PNG, where ink is dark on light paper."""
    try:
        with catch_warnings():
            simplefilter("ignore", Image.DecompressionBombWarning)  # said in a line below
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                if image.size != (SIDE, SIDE):
                    raise VmaError(f"{where} is {image.width}×{image.height} pixels, not Omniglot's {SIDE}×{SIDE}")
                ink = np.asarray(image.convert("L")) < 128
    except VmaError:
        raise
    except Exception as error:  # of a damaged file Pillow raises whatever its bytes lead to
        why = "it is no PNG" if isinstance(error, UnidentifiedImageError) else reason(error)
        raise VmaError(f"{where} is damaged: {why}; get it again, or download anew") from error
    if ink.mean() > 0.5:
        raise VmaError(f"{where} has light ink on dark paper; Omniglot has dark ink on light paper")
    return ink


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(data_dir, protocol)


def open_finer(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """The same in the finer view."""
    return load(data_dir, protocol, finer=True)
