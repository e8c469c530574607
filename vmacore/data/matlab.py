"""Matrices of numbers out of MATLAB files of versions 5 to 7, read within bounds: no parser in C sees a stranger's.

A file is a header of 128 bytes and then elements: kind and size, as two numbers of 32 bits, and so many bytes. A
variable is a deflated element, which holds an element of kind 14, which holds those of its flags, shape, name and
values. Small elements have kind and size in one number, and their bytes in the other.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
HEADER, COMPRESSED, MATRIX = 128, 15, 14
NUMBERS = range(6, 16)  # classes of arrays: float64, float32 and integers
COMPLEX = 0x800
VALUES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # by kind
LARGEST = 2**28  # bytes of a variable
ALL = 2**29  # bytes of all variables
PARTS = 4  # elements of a matrix of real numbers: flags, shape, name and values


def matrices(content: bytes, wanted: Collection[str]) -> dict[str, Array]:
    """The variables of these names [rows, columns].

    Raises:
        ValueError: it is no such file, or it is damaged; a variable is too large, or no matrix of real numbers.
        zlib.error, struct.error: it is damaged.
    """
    order = ORDERS.get(content[HEADER - 4 : HEADER])
    if order is None:
        raise ValueError("it is not of MATLAB 5 to 7")
    found: dict[str, Array] = {}
    place, left = HEADER, ALL
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind != COMPRESSED:  # nothing would tell whether it is damaged
            raise ValueError("its variables are not compressed, as they are in the published one")
        variable = _inflated(content[place + 8 : place + 8 + size], min(LARGEST, left))
        left -= len(variable)
        place += 8 + size
        kind, parts = next(_elements(variable, order), (0, b""))
        if kind != MATRIX:
            raise ValueError("it holds something else than variables")
        (_, flags), (_, shape), (_, name), *rest = islice(
            _elements(parts, order), PARTS + 1
        )  # a file may hold millions
        if (title := name.decode("ascii", "replace")) in wanted:
            found[title] = _matrix(title, struct.unpack_from(f"{order}I", flags)[0], shape, rest, order)
    return found


def _matrix(name: str, flags: int, shape: bytes, rest: list[tuple[int, bytes]], order: str) -> Array:
    sizes = np.frombuffer(shape, f"{order}i4").tolist()
    if flags & 0xFF not in NUMBERS or flags & COMPLEX or len(sizes) != 2 or len(rest) != 1 or rest[0][0] not in VALUES:
        raise ValueError(f"it has {name} that is no matrix of numbers")
    kind, values = rest[0]
    numbers = np.frombuffer(values, f"{order}{VALUES[kind]}")
    if min(sizes) < 0 or math.prod(sizes) != len(numbers):
        raise ValueError(f"its {name} has {len(numbers)} numbers, not {sizes[0]} × {sizes[1]}")
    return numbers.reshape(sizes, order="F")


def _inflated(deflated: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    content = stream.decompress(deflated, most)
    if not stream.eof:
        raise ValueError("a variable is cut short, or too large")
    return content


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes of each element; each begins at a multiple of 8."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        small = kind >> 16
        if small:
            kind, start, size = kind & 0xFFFF, place + 4, small
        else:
            start = place + 8
        if size > (4 if small else len(content) - start):
            raise ValueError("an element is larger than what holds it")
        yield kind, content[start : start + size]
        place = (start + size + 7) // 8 * 8
