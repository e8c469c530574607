"""MNIST (LeCun et al.): 70,000 handwritten digits of 28×28 grey levels.

Grey levels are means of Bernoulli pixels: training draws pixels anew at each step, evaluation draws them once
from a seed. The files lie as torchvision lays them, DATA_DIR/MNIST/raw, so that a copy that torchvision made
serves as well.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vmacore.data.archives import LARGEST, gunzipped, wanted_files
from vmacore.data.characters import Characters, Dataset
from vmacore.data.prepared import write_atomically
from vmacore.data.splits import sizes_in_words
from vmacore.errors import VmaError, reading
from vmacore.files import content

PROTOCOLS: tuple[str, ...] = ("standard",)  # the first is the default
RAW = Path("MNIST", "raw")
TITLE = "MNIST"
BASE_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FOLDER = RAW
REGISTRY = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}
PREPARATION = "28×28 as published"
BINARISATION = "Bernoulli"
LEVELS = 255
VALIDATION = 5_000  # the last of the 60,000
CLASSES = tuple(f"mnist/{digit}" for digit in range(10))

# SHA-256 of the files as published, unpacked. FashionMNIST and others have files of the same names.
FILES: Mapping[str, str] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

_IDX = re.compile(r"(?:^|/)(?P<what>(?:train|t10k)-(?:images|labels))[-.](?P<form>idx[13]-ubyte)(?P<gz>\.gz)?$")
_WAY_OUT = "run `vma download mnist` (with `--from PATH` if you have the files)"


def load(data_dir: Path, files: Mapping[str, str] = FILES) -> Dataset:
    """The 60,000 published for training, but for the last 5,000, which validate; and the 10,000 for testing.

    All are grey levels (levels=255); evaluation calls `binarised(seed)`.

    Raises:
        VmaError: the files are missing or damaged.
    """
    images, labels, test_images, test_labels = _read(data_dir, files)
    cut = len(images) - VALIDATION
    return Dataset(
        name="mnist",
        protocol="standard",
        preparation=PREPARATION,
        binarisation=BINARISATION,
        train=by_class(images[:cut], labels[:cut]),
        validation=by_class(images[cut:], labels[cut:]),
        test=by_class(test_images, test_labels),
    )


def describe(data_dir: Path, files: Mapping[str, str] = FILES) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: as in load.
    """
    return sizes_in_words(load(data_dir, files), "digits")


def import_from(source: Path, data_dir: Path, files: Mapping[str, str] = FILES) -> Path:
    """Bring the four files, unpacked, to DATA_DIR/MNIST/raw; returns that folder.

    source: a folder or a zip with the four `*-ubyte` files anywhere in it, as they are or each as .gz.

    Raises:
        VmaError: a file is missing or is not the published one; what was there stays as it was.
    """
    found: dict[str, bytes] = {}
    altered: list[str] = []
    for match, where, stored in wanted_files(source, _IDX):
        name = f"{match['what']}-{match['form']}"
        if name not in files or name in found:
            continue
        if match["gz"]:
            try:
                stored = gunzipped(stored)
            except (ValueError, zlib.error):
                stored = b""
        if hashlib.sha256(stored).hexdigest() == files[name]:
            found[name] = stored
        else:
            altered.append(where)
    missing = [name for name in files if name not in found]
    if missing:
        seen = f" ({altered[0]} is damaged, or is not MNIST's)" if altered else ""
        raise VmaError(f"MNIST in {source} is incomplete: no {', '.join(missing)}{seen}; {_WAY_OUT}")
    for name, stored in found.items():
        write_atomically(data_dir / RAW / name, stored)
    return data_dir / RAW


def by_class(images: Tensor, labels: Tensor) -> Characters:
    """Digits sorted by class, in the order of the file within each."""
    order = labels.argsort(stable=True)
    return Characters(images[order], labels[order], CLASSES, levels=LEVELS)


def _read(data_dir: Path, files: Mapping[str, str]) -> list[Tensor]:
    """Images uint8 [N, 28, 28] and labels int64 [N] of the training files, then of the test files."""
    # Not needed by who only lists what can be had, and slow to import.
    from torchvision.datasets.mnist import read_image_file, read_label_file

    tensors = []
    for name, sha256 in files.items():
        path = data_dir / RAW / name
        if not path.exists():
            raise VmaError(f"MNIST is not in {data_dir}: run `vma download mnist` (or `--from PATH`)")
        with reading(path, f"{_WAY_OUT} again"):
            if hashlib.sha256(content(path, LARGEST)).hexdigest() != sha256:
                raise VmaError(f"{path} can't be used: it is not the published file; {_WAY_OUT} again")
            tensor: Tensor = (read_image_file if "images" in name else read_label_file)(str(path))
        tensors.append(tensor)
    return tensors


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(data_dir)
