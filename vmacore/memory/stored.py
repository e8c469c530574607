"""What a memory's file must be before anything is computed of it: somebody else may have written it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

PICTURES = ("slots", "views")  # regions that are large, and read where they are shown alone
CHECKSUM = "sha256"


def check_slots(stored: Mapping[str, Tensor], size: Sequence[int], classes: int) -> None:
    """Check that tensors are those of a memory of images of that height and width; reads labels alone.

    Raises:
        ValueError: a tensor is of another kind or shape, or a label is of no class.
        KeyError: one is missing.
    """
    _check(all(type(side) is int and side > 0 for side in size) and len(size) == 2, "its size is none")
    slots, width = len(stored["keys"]), stored["keys"].shape[-1]
    shapes: dict[str, tuple[torch.dtype, list[int]]] = {
        "keys": (torch.float32, [slots, width]),
        "log_prior": (torch.float32, [slots]),
        "slots": (torch.uint8, [slots, math.ceil(math.prod(size) / 8)]),
        "labels": (torch.int32, [slots]),
        "views": (torch.uint8, [slots, 2 * size[0], 2 * size[1]]),
        "cosines": (torch.float32, [slots]),
        "nearest": (torch.int32, [slots]),
        "centres": (torch.float32, [slots]),
    }
    for name, (kind, shape) in shapes.items():
        if name in stored:
            _check(stored[name].dtype == kind and list(stored[name].shape) == shape, f"its {name} have another shape")
    _check(slots > 0 and width > 0, "it is empty")
    if "labels" in stored:
        _check_within(stored["labels"], classes, "labels")


def check_names(names: Mapping[str, object], stored: Mapping[str, Tensor], temperature: float) -> None:
    """Check that classes, files and calibration go with the slots of a memory of pictures.

    Raises:
        ValueError: they do not.
        KeyError: something is missing.
    """
    labels, classes, files = stored["labels"], names["classes"], names["files"]
    _check(_are_texts(classes) and _are_texts(files), "its names are none")
    assert isinstance(classes, list)
    assert isinstance(files, list)
    _check(len(set(classes)) == len(classes) and len(files) == len(labels), "it has other names than slots")
    counts = labels.bincount(minlength=len(classes))
    _check(len(counts) == len(classes) and bool((counts > 0).all()), "it has other classes than slots")
    _check(bool((labels.diff() >= 0).all()), "its labels are in no order")
    _check_within(stored["nearest"], len(labels), "nearest slots")
    _check(0 < temperature < math.inf, "its temperature is none")


def checksum(described: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Of all that answers depend on: what the file says of itself, and its tensors but for pictures."""
    digest = hashlib.sha256()
    digest.update(json.dumps({key: described[key] for key in sorted(described) if key != CHECKSUM}).encode())
    for name in sorted(tensors.keys() - set(PICTURES)):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_sum(described: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Check the checksum that a file names; one that names none is judged by its content alone.

    Raises:
        ValueError: it is another.
    """
    _check(described.get(CHECKSUM) in (None, checksum(described, tensors)), "its checksum is another")


def _check_within(numbers: Tensor, count: int, what: str) -> None:
    _check(int(numbers.min()) >= 0 and int(numbers.max()) < count, f"its {what} are out of range")


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _check(sound: bool, otherwise: str) -> None:
    if not sound:
        raise ValueError(otherwise)
