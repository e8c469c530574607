"""Binary characters in one small file that says what it holds: bit-packed and deflated, inside safetensors.

The file is written whole or not at all, and is read only if its description is the one expected and its
content has the checksum that it names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vmacore.data.characters import Characters
from vmacore.errors import VmaError

FORMAT = "vma-characters 1"


def write_prepared(path: Path, characters: Characters, preparation: str) -> None:
    """Write binary characters, with the words that tell their preparation.

    Raises:
        VmaError: the file cannot be written; nothing is left behind.
    """
    bits = np.packbits(characters.images.numpy().reshape(-1)).tobytes()
    description = {
        "format": FORMAT,
        "preparation": preparation,
        "size": json.dumps(characters.size),
        "classes": json.dumps(characters.classes),
        "counts": json.dumps(characters.counts.tolist()),
    }
    description["sha256"] = _checksum(description, bits)
    deflated = np.frombuffer(zlib.compress(bits, 9), dtype=np.uint8).copy()
    write_atomically(path, save({"bits": torch.from_numpy(deflated)}, metadata=description))


def read_prepared(path: Path, preparation: str, way_out: str) -> Characters:
    """Read what write_prepared wrote.

    way_out: what to do about a bad file, said at the end of the error.

    Raises:
        VmaError: the file cannot be read, is damaged, or holds another preparation.
    """
    try:
        return _read(path, preparation)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, zlib.error, AttributeError) as error:
        why = str(error) if isinstance(error, _Refused) else "it is damaged"
        raise VmaError(f"{path} can't be used: {why}; {way_out}") from error


class _Refused(ValueError):
    pass


def _read(path: Path, preparation: str) -> Characters:
    with safe_open(path, framework="pt") as file:
        description = dict(file.metadata() or {})
        if description.get("format") != FORMAT:
            raise _Refused(f"its format is {description.get('format')!r}, not {FORMAT!r}")
        if description.get("preparation") != preparation:
            raise _Refused(f"its preparation is {description.get('preparation')!r}, not {preparation!r}")
        deflated = file.get_tensor("bits").numpy().tobytes()

    classes = tuple(json.loads(description["classes"]))
    counts = torch.tensor(json.loads(description["counts"]), dtype=torch.int64)
    height, width = json.loads(description["size"])
    pixels = int(counts.sum()) * height * width
    n_bytes = math.ceil(pixels / 8)
    bits = zlib.decompressobj().decompress(
        deflated, n_bytes + 1
    )  # no more than that, whatever it would unfold to
    if len(bits) != n_bytes or len(counts) != len(classes):
        raise _Refused("its size is not the one it names")
    if _checksum(description, bits) != description["sha256"]:
        raise _Refused("its content does not have the checksum it names")

    images = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=pixels).reshape(-1, height, width)
    return Characters(torch.from_numpy(images), torch.arange(len(counts)).repeat_interleave(counts), classes)


def _checksum(description: dict[str, str], bits: bytes) -> str:
    words = json.dumps({key: description[key] for key in sorted(description) if key != "sha256"})
    return hashlib.sha256(words.encode() + bits).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Make or replace a file in one step: whoever looks finds the old one or the new one, whole.

    Raises:
        VmaError: it cannot be written; nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise VmaError(f"can't write {path}: {error.strerror or error}; choose another --data-dir") from error
