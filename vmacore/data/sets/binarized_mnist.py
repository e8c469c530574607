"""MNIST made binary once and for all (Salakhutdinov & Murray 2008), in the files of Larochelle (2011): no labels.

Three text files, a digit a line: 784 times 0 or 1 with spaces between, 28 rows of 28 pixels, ink 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vmacore.data.archives import named_files
from vmacore.data.characters import Characters, Dataset
from vmacore.data.prepared import read_splits, write_splits
from vmacore.data.splits import sizes_in_words
from vmacore.errors import VmaError

PROTOCOLS: tuple[str, ...] = ("standard",)  # the first is the default
DRAWINGS_OF = ("mnist",)
PREPARED = Path("binarized-mnist", "binarized-mnist-28x28.safetensors")
PREPARATION = "28×28 as published"
BINARISATION = "fixed, as published by Larochelle"
SIDE = 28
CLASSES = ("mnist/unlabelled",)
TITLE = "the binarised MNIST"
_WAY_OUT = "run `vma download binarized-mnist` (with `--from PATH` if you have the files)"


class Published(NamedTuple):
    """A file: which split it is, how many digits it holds, and its SHA-256."""

    split: str
    digits: int
    sha256: str


# The hashes are those that TensorFlow Datasets has on record for these files.
FILES: Mapping[str, Published] = {
    "binarized_mnist_train.amat": Published(
        "train", 50_000, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"
    ),
    "binarized_mnist_valid.amat": Published(
        "validation", 10_000, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"
    ),
    "binarized_mnist_test.amat": Published(
        "test", 10_000, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"
    ),
}
BASE_URL = "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
FOLDER = PREPARED.parent
REGISTRY = {name: f"sha256:{file.sha256}" for name, file in FILES.items()}


def load(data_dir: Path, files: Mapping[str, Published] = FILES) -> Dataset:
    """50,000 digits that train, 10,000 that validate and 10,000 for testing, all of one class, as there are no labels.

    Raises:
        VmaError: not prepared yet, or the prepared file is damaged.
    """
    path = data_dir / PREPARED
    if not path.exists():
        raise VmaError(f"{TITLE} is not in {data_dir}: run `vma download binarized-mnist` (or `--from PATH`)")
    splits = read_splits(path, PREPARATION, _WAY_OUT + " again")
    if {name: len(part.images) for name, part in splits.items()} != {
        file.split: file.digits for file in files.values()
    }:
        raise VmaError(f"{path} can't be used: its digits are not those of {TITLE}; {_WAY_OUT} again")
    return Dataset(
        name="binarized-mnist",
        protocol="standard",
        preparation=PREPARATION,
        binarisation=BINARISATION,
        **splits,
    )


def describe(data_dir: Path, files: Mapping[str, Published] = FILES) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: as in load.
    """
    return sizes_in_words(load(data_dir, files), "binary digits")


def import_from(source: Path, data_dir: Path, files: Mapping[str, Published] = FILES) -> Path:
    """Read the three files, and write one small file into data_dir; returns its path.

    source: a folder or a zip that holds them. Line ends may differ from those published; the pixels may not.

    Raises:
        VmaError: a file is missing, damaged, or of another binarisation; the prepared file stays as it was.
    """
    splits = {}
    for name, (where, content) in named_files(source, list(files), TITLE, _WAY_OUT).items():
        file = files[name]
        images = _parse(content, where)
        if len(images) != file.digits:
            raise VmaError(f"{where} has {len(images):,} digits, not {file.digits:,}; get it again, or download anew")
        if file.sha256 not in (hashlib.sha256(content).hexdigest(), hashlib.sha256(_as_published(images)).hexdigest()):
            raise VmaError(f"{where} is not the published file: another binarisation, or damaged; {_WAY_OUT}")
        labels = torch.zeros(file.digits, dtype=torch.int64)
        splits[file.split] = Characters(torch.from_numpy(images), labels, CLASSES)
    write_splits(data_dir / PREPARED, splits, PREPARATION)
    return data_dir / PREPARED


def _parse(content: bytes, where: str) -> npt.NDArray[np.uint8]:
    """Pixels 0 or 1 [N, 28, 28]."""
    lines = [line.translate(None, b" \t\r") for line in content.rstrip().split(b"\n")]
    for number, line in enumerate(lines, 1):
        if len(line) != SIDE * SIDE or line.strip(b"01"):
            raise VmaError(
                f"line {number} of {where} is not {SIDE * SIDE} times 0 or 1; get it again, or download anew"
            )
    return np.frombuffer(b"".join(lines), dtype=np.uint8).reshape(-1, SIDE, SIDE) - ord("0")


def _as_published(images: npt.NDArray[np.uint8]) -> bytes:
    """The text of the published file: a space after each pixel, a line end after each digit's last."""
    text = np.full((len(images), SIDE * SIDE, 2), ord(" "), dtype=np.uint8)
    text[:, :, 0] = images.reshape(len(images), -1) + ord("0")
    text[:, -1, 1] = ord("\n")
    return text.tobytes()


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(data_dir)
