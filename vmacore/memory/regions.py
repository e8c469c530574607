"""Safetensors files whose tensors are written part by part, so that none is ever held whole."""

from __future__ import annotations

import json
import math
from typing import BinaryIO

from torch import Tensor

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


def header_of(regions: dict[str, tuple[str, list[int], int]], metadata: dict[str, str]) -> tuple[bytes, dict[str, int]]:
    """The head of a safetensors file and where in the file each tensor begins.

    The library writes tensors that are whole in memory; these are not, but the format is a length, JSON and bytes.
    """
    described: dict[str, object] = {"__metadata__": metadata}
    begins, begin = {}, 0
    for name, (dtype, shape, width) in regions.items():
        end = begin + math.prod(shape) * width
        described[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        begins[name], begin = begin, end
    text = json.dumps(described).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    start = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {name: start + begin for name, begin in begins.items()}


def write_at(file: BinaryIO, offset: int, tensor: Tensor) -> None:
    """The numbers of a tensor, without its shape, from a byte of the file on.

    Raises:
        OSError: they cannot be written.
    """
    file.seek(offset)
    file.write(tensor.cpu().contiguous().numpy().tobytes())
