"""Characters in one small file that says what it holds: deflated inside safetensors, binary ones bit-packed before.

The file is written whole or not at all, and is read only if its description is the one expected and its
content has the checksum that it names.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save

from vmacore.data.characters import SPLITS, Characters
from vmacore.errors import VmaError, cut, writing
from vmacore.files import content, replacing

FORMAT = "vma-characters 1"
LARGEST = 2**31  # bytes that are read, and pixels
MOST_LEVELS = 255  # of a pixel, which is a byte


def write_prepared(path: Path, characters: Characters, preparation: str) -> None:
    """Write characters, with the words that tell their preparation.

    Raises:
        VmaError: the file cannot be written; nothing is left behind.
    """
    pixels = characters.images.numpy().reshape(-1)
    description = {
        "format": FORMAT,
        "preparation": preparation,
        "size": json.dumps(characters.images.shape[1:]),
        "classes": json.dumps(characters.classes),
        "counts": json.dumps(characters.counts.tolist()),
    }
    if characters.levels > 1:  # left out of binary files, which are older
        description["levels"] = json.dumps(characters.levels)
    content = (pixels if characters.levels > 1 else np.packbits(pixels)).tobytes()
    description["sha256"] = _checksum(description, content)
    deflated = np.frombuffer(zlib.compress(content, 9), dtype=np.uint8).copy()
    write_atomically(path, _in_order(save({"bits": torch.from_numpy(deflated)}, metadata=description)))


def _in_order(stored: bytes) -> bytes:
    """A safetensors file whose description is in order, so that the same content has the same bytes."""
    start = 8 + int.from_bytes(stored[:8], "little")
    words = json.dumps(json.loads(stored[8:start]), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return stored[:8] + words.ljust(start - 8) + stored[start:]


def write_splits(path: Path, splits: Mapping[str, Characters], preparation: str) -> None:
    """Write train, validation and test of a data set whose classes stand in several of them.

    Raises:
        VmaError: as in write_prepared.
    """
    parts = [splits[name] for name in SPLITS]
    classes = [f"{name}/{own}" for name in SPLITS for own in splits[name].classes]
    joined = Characters(
        images=torch.cat([part.images for part in parts]),
        labels=torch.arange(len(classes)).repeat_interleave(torch.cat([part.counts for part in parts])),
        classes=tuple(classes),
        levels=parts[0].levels,
    )
    write_prepared(path, joined, preparation)


def read_splits(path: Path, preparation: str, way_out: str) -> dict[str, Characters]:
    """Read what write_splits wrote: train, validation and test.

    Raises:
        VmaError: as in read_prepared.
    """
    joined = read_prepared(path, preparation, way_out)
    splits = {}
    for name in SPLITS:
        own = [c for c, full in enumerate(joined.classes) if full.startswith(f"{name}/")]
        part = joined.select(own)
        splits[name] = replace(part, classes=tuple(full.removeprefix(f"{name}/") for full in part.classes))
    return splits


def read_prepared(path: Path, preparation: str, way_out: str) -> Characters:
    """Read what write_prepared wrote.

    way_out: what to do about a bad file, said at the end of the error.

    Raises:
        VmaError: the file cannot be read, is damaged, or holds another preparation.
    """
    try:
        return _read(path, preparation)
    except Exception as error:  # of a damaged file parsers raise whatever its bytes lead to
        why = str(error) if isinstance(error, _Refused) else "it is damaged"
        raise VmaError(f"{path} can't be used: {why}; {way_out}") from error


class _Refused(ValueError):
    pass


def _read(path: Path, preparation: str) -> Characters:
    stored = content(path, LARGEST)
    header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    description: dict[str, str] = dict(header.get("__metadata__") or {})
    if description.get("format") != FORMAT:
        raise _Refused(f"its format is {cut(repr(description.get('format')))}, not {FORMAT!r}")
    if description.get("preparation") != preparation:
        raise _Refused(f"its preparation is {cut(repr(description.get('preparation')))}, not {preparation!r}")
    deflated = load(stored)["bits"].numpy().tobytes()

    classes = tuple(json.loads(description["classes"]))
    counts = torch.tensor(json.loads(description["counts"]), dtype=torch.int64)
    height, width = json.loads(description["size"])
    levels = int(json.loads(description.get("levels", "1")))
    pixels = int(counts.sum()) * height * width
    # Without pixels nothing would bound the number of drawings.
    if not 0 <= pixels <= LARGEST or min(height, width) < 1 or not 1 <= levels <= MOST_LEVELS:
        raise _Refused("its size is none that a data set has")
    n_bytes = pixels if levels > 1 else math.ceil(pixels / 8)
    bits = zlib.decompressobj().decompress(deflated, n_bytes + 1)  # no more than that, whatever it would unfold to
    if len(bits) != n_bytes or len(counts) != len(classes):
        raise _Refused("its size is not the one it names")
    if _checksum(description, bits) != description["sha256"]:
        raise _Refused("its content does not have the checksum it names")

    flat = np.frombuffer(bits, dtype=np.uint8)
    flat = flat.copy() if levels > 1 else np.unpackbits(flat, count=pixels)
    return Characters(
        images=torch.from_numpy(flat.reshape(-1, height, width)),
        labels=torch.arange(len(counts)).repeat_interleave(counts),
        classes=classes,
        levels=levels,
    )


def _checksum(description: dict[str, str], content: bytes) -> str:
    words = json.dumps({key: description[key] for key in sorted(description) if key != "sha256"})
    return hashlib.sha256(words.encode() + content).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Make or replace a file in one step: whoever looks finds the old one or the new one, whole.

    Raises:
        VmaError: it cannot be written; nothing is left behind.
    """
    with writing(path, "choose another --data-dir"), replacing(path) as file:
        file.write(content)
