"""What a report rests on: configuration, versions, and hashes of weights and data."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version

import torch

from vmacore.data.characters import SPLITS, Characters, Dataset
from vmacore.errors import reading
from vmacore.files import content
from vmacore.runs.directory import LARGEST
from vmacore.runs.finding import Location
from vmacore.runs.weights import weights_file

PACKAGES = ("vma", "torchvision", "numpy", "scikit-learn", "pillow")


@dataclass(frozen=True)
class Hash:
    """SHA-256 of something, in hexadecimal."""

    what: str
    sha256: str


def versions() -> list[tuple[str, str]]:
    """Python's and those of the packages that numbers depend on."""
    packages = [(name, version(name)) for name in PACKAGES]
    return [("Python", platform.python_version()), ("torch", torch.__version__), *packages]


def hash_of_weights(location: Location, weights: str) -> Hash:
    """Of the file of weights.

    Raises:
        VmaError: there are none of that name, or the file cannot be read.
    """
    file = weights_file(location, weights)
    with reading(file, "use another checkpoint"):
        return Hash(f"{weights} weights, {file.name}", hashlib.sha256(content(file, LARGEST["weights"])).hexdigest())


def hashes_of_data(dataset: Dataset) -> list[Hash]:
    """Of each split that holds drawings, as the model is shown them before they are made binary."""
    return [
        Hash(f"{name}, {len(split.images):,} drawings of {split.n_classes:,} classes", _hash(split))
        for name in SPLITS
        if len((split := dataset.split(name)).images)
    ]


def _hash(characters: Characters) -> str:
    """Of shape, levels, names of the classes, labels and pixels, in this order."""
    about = [list(characters.images.shape), characters.levels, characters.classes]
    digest = hashlib.sha256(json.dumps(about).encode())
    digest.update(characters.labels.contiguous().numpy().data)
    digest.update(characters.images.contiguous().numpy().data)
    return digest.hexdigest()
