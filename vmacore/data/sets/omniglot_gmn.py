"""The 28×28 Omniglot of Generative Matching Networks (Bartunov & Vetrov 2016): binary, 30 alphabets against 20.

Two archives, train_small.npz and test_small.npz, hold one array [20, 784] for each character, under
images_background/ALPHABET/characterNN and images_evaluation/…: rows of 28 pixels, 0 ink and 255 paper, with nothing in
between. Here ink is 1, as in every other data set.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vmacore.data.archives import wanted_files
from vmacore.data.characters import Characters, Dataset
from vmacore.data.prepared import write_prepared
from vmacore.data.sets.omniglot import ALPHABETS, DRAWINGS, class_names, in_words, read_whole
from vmacore.data.splits import EVALUATION, alphabet_of, split_by_alphabet
from vmacore.errors import VmaError

PROTOCOLS: tuple[str, ...] = ("30-20",)  # the first is the default
DRAWINGS_OF = ("omniglot",)
PREPARED = Path("omniglot-gmn", "omniglot-28x28-gmn.safetensors")
PREPARATION = "28×28 as published with Generative Matching Networks, ink 1"
BINARISATION = "none: binary as published"
SIDE = 28
PAPER = 255
TITLE = "the GMN Omniglot"
BASE_URL = "https://raw.githubusercontent.com/sbos/gmn/master/data/"
FOLDER = PREPARED.parent
REGISTRY = {"train_small.npz": None, "test_small.npz": None}

_CHARACTER = re.compile(r"(?:^|/)(?P<alphabet>[^/]+)/(?P<character>character\d\d)\.npy$")
_WAY_OUT = "run `vma download omniglot-gmn` (with `--from PATH` if you have the files)"


def load(data_dir: Path) -> Dataset:
    """The characters, split 30-20; of the 30 alphabets a tenth of the characters validates, the same as in Omniglot.

    Raises:
        VmaError: not prepared yet, or the prepared file is damaged.
    """
    characters = read(data_dir)
    split = split_by_alphabet(characters.classes, EVALUATION)
    return Dataset(
        name="omniglot-gmn",
        protocol=PROTOCOLS[0],
        preparation=PREPARATION,
        binarisation=BINARISATION,
        train=characters.select(split.train),
        validation=characters.select(split.validation),
        test=characters.select(split.test),
    )


def read(data_dir: Path, alphabets: Mapping[str, int] = ALPHABETS) -> Characters:
    """All characters, sorted by alphabet and character.

    Raises:
        VmaError: not prepared yet, or the prepared file is damaged.
    """
    path = data_dir / PREPARED
    if not path.exists():
        raise VmaError(f"the GMN Omniglot is not in {data_dir}: run `vma download omniglot-gmn` (or `--from PATH`)")
    return read_whole(path, PREPARATION, _WAY_OUT + " again", alphabets)


def describe(data_dir: Path) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: as in read.
    """
    return in_words(read(data_dir))


def import_from(source: Path, data_dir: Path, alphabets: Mapping[str, int] = ALPHABETS) -> Path:
    """Read the two archives, and write one small file into data_dir; returns its path.

    source: a folder or a zip that holds train_small.npz and test_small.npz, whatever their names. Contents are
        checked, not hashes: every character of Omniglot once, with 20 drawings of 784 pixels, ink 0 and paper 255.

    Raises:
        VmaError: something is missing, damaged or of another kind; the prepared file stays as it was.
    """
    found: dict[str, npt.NDArray[np.uint8]] = {}
    for match, where, content in wanted_files(source, _CHARACTER, packed=(".npz", ".zip")):
        name = f"{match['alphabet']}/{match['character']}"
        images = _decode(content, where)
        if not np.array_equal(found.setdefault(name, images), images):
            raise VmaError(f"{source} holds two different {name}; give one copy of the GMN Omniglot")
    classes = class_names(alphabets)
    _check_complete(found, classes, source)

    characters = Characters(
        images=torch.from_numpy(np.concatenate([found[name] for name in classes])),
        labels=torch.arange(len(classes)).repeat_interleave(DRAWINGS),
        classes=classes,
    )
    write_prepared(data_dir / PREPARED, characters, PREPARATION)
    return data_dir / PREPARED


def _check_complete(found: Mapping[str, object], classes: tuple[str, ...], source: Path) -> None:
    if not found:
        raise VmaError(
            f"no GMN Omniglot in {source}: give a folder with train_small.npz and test_small.npz, or {_WAY_OUT}"
        )
    unknown = sorted(found.keys() - set(classes))
    if unknown:
        raise VmaError(f"{source} is not the GMN Omniglot as published: Omniglot has no character {unknown[0]}")
    missing = [name for name in classes if name not in found]
    if not missing:
        return
    what = f"{missing[0]} is missing" + (f", with {len(missing) - 1} more" if len(missing) > 1 else "")
    for file, test in (("train_small.npz", False), ("test_small.npz", True)):
        if missing == [name for name in classes if (alphabet_of(name) in EVALUATION) == test]:
            what = f"{file} ({len(missing)} characters) is missing"
    raise VmaError(f"the GMN Omniglot in {source} is incomplete: {what}; give a folder with both files")


def _decode(content: bytes, where: str) -> npt.NDArray[np.uint8]:
    """Ink 0 or 1 [20, 28, 28] of a character."""
    try:
        pixels = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # of a damaged header NumPy raises whatever its parsers do
        raise VmaError(f"{where} is damaged, or no array of numbers; get it again, or download anew") from error
    if pixels.shape != (DRAWINGS, SIDE * SIDE) or pixels.dtype != np.uint8:
        raise VmaError(f"{where} is {pixels.dtype} {list(pixels.shape)}, not uint8 [{DRAWINGS}, {SIDE * SIDE}]")
    ink: npt.NDArray[np.bool_] = pixels == 0
    if not bool((ink | (pixels == PAPER)).all()):
        raise VmaError(f"{where} has grey pixels; in the GMN Omniglot 0 is ink, {PAPER} is paper and nothing else is")
    if ink.mean() > 0.5:
        raise VmaError(f"{where} has light ink on dark paper; the GMN Omniglot has 0 for ink and {PAPER} for paper")
    return ink.astype(np.uint8).reshape(DRAWINGS, SIDE, SIDE)


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(data_dir)
