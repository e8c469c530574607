"""The files that a reader wants, found below a folder or inside zips, however they were packed."""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from vmacore.errors import VmaError, cut, reading
from vmacore.files import content

Found = tuple[re.Match[str], str, bytes]  # match of the path, where it lies in words for people, content

LARGEST = 2**28  # bytes of a file, packed or not; the largest of those published has 79 million
ALL = 2**33  # bytes of everything that is unpacked
DEEPEST = 3  # zips in zips


def wanted_files(source: Path, wanted: re.Pattern[str], packed: tuple[str, ...] = (".zip",)) -> Iterator[Found]:
    """Every file whose path matches, below a folder or in a zip or in zips in either, in the order of names.

    Zips are read in memory, member by member; nothing is extracted, and nothing is believed about sizes.

    packed: endings of files that are zips; NumPy's ".npz" is one too.

    Raises:
        VmaError: the source is not there, or a folder, file or zip in it cannot be read or is too large.
    """
    if not source.exists():
        raise VmaError(f"there is no {source}: give --from the folder or zip that holds the files")
    unpacking = _Unpacking(wanted, packed)
    for path in _files(source) if source.is_dir() else [source]:
        match = wanted.search(path.as_posix())
        if not match and not path.name.lower().endswith(packed):
            continue
        with reading(path, "leave it out, or get it again"):
            stored = content(path, LARGEST) if match else b""
        if match:
            yield match, str(path), stored
        else:
            yield from unpacking.members(path, str(path), 1)


def _files(folder: Path) -> list[Path]:
    """All regular files below a folder, sorted.

    Raises:
        VmaError: a folder that may not be looked into.
    """

    def refused(error: OSError) -> None:
        raise VmaError(f"can't read {error.filename}: {error.strerror}; give --from a folder that can be read")

    below = [Path(where) / name for where, _, names in os.walk(folder, onerror=refused) for name in names]
    return sorted(path for path in below if path.is_file())


class _Unpacking:
    """Members of zips, within bounds that hold for all of them together."""

    def __init__(self, wanted: re.Pattern[str], packed: tuple[str, ...]) -> None:
        self.wanted, self.packed = wanted, packed
        self.left = ALL

    def members(self, file: Path | io.BytesIO, where: str, depth: int) -> Iterator[Found]:
        way_out, verdict = "get it again, or download anew", "can't be read as a zip"
        if isinstance(file, Path) and not file.is_file():
            return
        if depth > DEEPEST:
            raise VmaError(f"{cut(where)} is a zip in more than {DEEPEST} others: unpack it by hand")
        with reading(cut(where), way_out, verdict):
            archive = zipfile.ZipFile(file)
        with archive:
            for name in sorted(archive.namelist()):
                match = self.wanted.search(name)
                inner = name.lower().endswith(self.packed) and not PurePosixPath(name).name.startswith("._")
                if not match and not inner:
                    continue
                with reading(cut(f"{where}:{name}"), way_out, "can't be unpacked"):
                    unpacked = self._unpacked(archive, name)
                if match:
                    yield match, f"{where}:{name}", unpacked
                else:
                    yield from self.members(io.BytesIO(unpacked), f"{where}:{name}", depth + 1)

    def _unpacked(self, archive: zipfile.ZipFile, name: str) -> bytes:
        most = min(LARGEST, self.left)
        with archive.open(name) as member:
            unpacked = member.read(most + 1)
        if len(unpacked) > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
        self.left -= len(unpacked)
        return unpacked


def gunzipped(packed: bytes) -> bytes:
    """The content of a .gz file.

    Raises:
        ValueError: it is cut short, or too large.
        zlib.error: it is damaged.
    """
    stream = zlib.decompressobj(wbits=31)
    unpacked = stream.decompress(packed, LARGEST)
    if not stream.eof:
        raise ValueError("it is cut short, or too large")
    return unpacked


def named_files(source: Path, names: Sequence[str], title: str, way_out: str) -> dict[str, tuple[str, bytes]]:
    """The files of these names, found as by `wanted_files`: name → where it lies in words for people, and its content.

    Raises:
        VmaError: as in `wanted_files`; one is missing, or there are two different ones of a name.
    """
    found: dict[str, tuple[str, bytes]] = {}
    any_of_them = "|".join(re.escape(name) for name in names)
    for match, where, stored in wanted_files(source, re.compile(rf"(?:^|/)(?P<name>{any_of_them})$")):
        name = match["name"]
        if found.setdefault(name, (where, stored))[1] != stored:
            raise VmaError(f"{source} holds two different {name}: {found[name][0]} and {where}; give one of them")
    missing = [name for name in names if name not in found]
    if missing:
        raise VmaError(f"{title} is not in {source}, or not whole: no {', '.join(missing)}; {way_out}")
    return found
