"""Burda's 28×28 Omniglot (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519): grey levels, split by drawings.

`chardata.mat` holds each drawing as a column of 784 values in [0, 1], itself in column order as MATLAB writes it:
[28, 28] in Fortran order. 24,345 drawings train and 8,070 test; characters are not kept apart. Values are means of
Bernoulli pixels; they are kept to the nearest 1/255.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vmacore.data import matlab
from vmacore.data.archives import named_files
from vmacore.data.characters import Characters, Dataset
from vmacore.data.prepared import read_splits, write_splits
from vmacore.data.splits import sizes_in_words
from vmacore.errors import VmaError, reason

PROTOCOLS: tuple[str, ...] = ("standard",)  # the first is the default
DRAWINGS_OF = ("omniglot",)
FILE = "chardata.mat"
PREPARED = Path("omniglot-burda", "omniglot-28x28-burda.safetensors")
PREPARATION = "28×28 as published by Burda, grey levels to the nearest 1/255"
BINARISATION = "Bernoulli"
SIDE = 28
LEVELS = 255
ALPHABETS = 50
TITLE = "Burda's Omniglot"
BASE_URL = "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/"
FOLDER = PREPARED.parent
REGISTRY = {FILE: None}
_WAY_OUT = "run `vma download omniglot-burda` (with `--from PATH` if you have the file)"

Array = npt.NDArray[Any]


class Sizes(NamedTuple):
    """Numbers of drawings: in the file for training, how many of these validate, and in the file for testing."""

    train: int = 24_345
    validation: int = 1_345
    test: int = 8_070


SIZES = Sizes()


def load(data_dir: Path, sizes: Sizes = SIZES) -> Dataset:
    """The 24,345 drawings for training but for 1,345, which validate, and the 8,070 for testing.

    All are grey levels (levels=255); evaluation calls `binarised(seed)`. The drawings that validate are those that
    IWAE's code holds out: the last 1,345 of the 24,345 shuffled by NumPy's legacy generator with seed 123.

    Raises:
        VmaError: not prepared yet, or the prepared file is damaged.
    """
    path = data_dir / PREPARED
    if not path.exists():
        raise VmaError(f"{TITLE} is not in {data_dir}: run `vma download omniglot-burda` (or `--from PATH`)")
    splits = read_splits(path, PREPARATION, _WAY_OUT + " again")
    if [len(part.images) for part in splits.values()] != [sizes.train - sizes.validation, *sizes[1:]]:
        raise VmaError(f"{path} can't be used: its drawings are not those of {TITLE}; {_WAY_OUT} again")
    return Dataset(
        name="omniglot-burda",
        protocol="standard",
        preparation=PREPARATION,
        binarisation=BINARISATION,
        **splits,
    )


def describe(data_dir: Path, sizes: Sizes = SIZES) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: as in load.
    """
    return sizes_in_words(load(data_dir, sizes), "drawings")


def import_from(source: Path, data_dir: Path, sizes: Sizes = SIZES) -> Path:
    """Read `chardata.mat`, and write one small file into data_dir; returns its path.

    source: the file, or a folder or a zip that holds it. Contents are checked, as no hash of the file is published:
        24,345 and 8,070 drawings of 784 values in [0, 1], most of them paper, and one label for each, if any.

    Raises:
        VmaError: the file is missing, damaged or of another kind; the prepared file stays as it was.
    """
    where, content = named_files(source, [FILE], TITLE, _WAY_OUT)[FILE]
    matrices = _matrices(content, where)
    images = _images(matrices, "data", sizes.train, where)
    test_images = _images(matrices, "testdata", sizes.test, where)
    labels = _labels(matrices, "target", "targetchar", sizes.train, where)
    test_labels = _labels(matrices, "testtarget", "testtargetchar", sizes.test, where)

    order = np.random.RandomState(123).permutation(sizes.train)
    train, validation = np.split(order, [sizes.train - sizes.validation])
    splits = {
        "train": _by_class(images, labels, np.sort(train)),
        "validation": _by_class(images, labels, np.sort(validation)),
        "test": _by_class(test_images, test_labels, np.arange(sizes.test)),
    }
    write_splits(data_dir / PREPARED, splits, PREPARATION)
    return data_dir / PREPARED


def _matrices(content: bytes, where: str) -> dict[str, Array]:
    """The variables of a MATLAB file."""
    try:
        return matlab.matrices(content, ("data", "testdata", "target", "testtarget", "targetchar", "testtargetchar"))
    except Exception as error:
        why = reason(error)
        raise VmaError(f"{where} can't be read as a MATLAB file ({why}); get it again, or download anew") from error


def _images(matrices: dict[str, Array], name: str, count: int, where: str) -> npt.NDArray[np.uint8]:
    """Drawings upright, levels 0 … 255 [N, 28, 28]."""
    columns = _matrix(matrices, name, where)
    if columns.shape != (SIDE * SIDE, count):
        raise VmaError(
            f"{where} has {name} of shape {list(columns.shape)}, not [{SIDE * SIDE}, {count}]: it is not {TITLE}"
        )
    if not bool(((columns >= 0) & (columns <= 1)).all()):  # nor are NaNs
        raise VmaError(f"{where} has values in {name} that are not between 0 and 1: it is damaged, or not {TITLE}")
    if columns.mean() > 0.5:
        raise VmaError(f"{where} has light paper in {name}; in {TITLE} 1 is ink, and most of a drawing is paper")
    levels: npt.NDArray[np.uint8] = np.rint(LEVELS * columns.T).astype(np.uint8)
    return levels.reshape(count, SIDE, SIDE).transpose(0, 2, 1)  # a column of the file is a drawing column by column


def _labels(matrices: dict[str, Array], alphabet: str, character: str, count: int, where: str) -> list[str]:
    """The class of each drawing, such as "alphabet07/character03"; all of one class if the file has no labels.

    The file gives alphabets as columns that are 1 in one of 50 places, and characters as numbers within an alphabet.
    """
    if alphabet not in matrices and character not in matrices:
        return ["omniglot/unlabelled"] * count
    one_hot, number = _matrix(matrices, alphabet, where), _matrix(matrices, character, where)
    if one_hot.shape != (ALPHABETS, count) or not bool(((one_hot == 0) | (one_hot == 1)).all()):
        raise VmaError(f"{where} has {alphabet} that is not 0 and 1 [{ALPHABETS}, {count}]: it is not {TITLE}")
    if number.shape != (1, count) or not bool(((number >= 0) & (number <= 99) & (number == np.rint(number))).all()):
        raise VmaError(f"{where} has {character} that is not whole numbers below 100 [1, {count}]: it is not {TITLE}")
    if not bool((one_hot.sum(0) == 1).all()):
        raise VmaError(f"{where} has drawings of no alphabet, or of several, in {alphabet}: it is not {TITLE}")
    pairs = zip(one_hot.argmax(0) + 1, number[0].astype(int), strict=True)
    return [f"alphabet{a:02}/character{c:02}" for a, c in pairs]


def _matrix(matrices: dict[str, Array], name: str, where: str) -> Array:
    if name not in matrices:
        raise VmaError(f"{where} has no {name}: it is not {TITLE}")
    return matrices[name]


def _by_class(images: npt.NDArray[np.uint8], labels: list[str], rows: npt.NDArray[np.int64]) -> Characters:
    """These drawings sorted by class, in the order of the file within each."""
    classes, number = np.unique(np.array(labels)[rows], return_inverse=True)
    order = number.argsort(kind="stable")
    return Characters(
        images=torch.from_numpy(np.ascontiguousarray(images[rows[order]])),
        labels=torch.from_numpy(number[order]),
        classes=tuple(classes.tolist()),
        levels=LEVELS,
    )


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(data_dir)
