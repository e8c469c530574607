"""The files that a reader wants, found below a folder or inside zips, however they were packed."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from vmacore.errors import VmaError

Found = tuple[re.Match[str], str, bytes]  # match of the path, where it lies in words for people, content


def wanted_files(source: Path, wanted: re.Pattern[str], packed: tuple[str, ...] = (".zip",)) -> Iterator[Found]:
    """Every file whose path matches, below a folder or in a zip or in zips in either, in the order of names.

    Zips are read in memory, member by member; nothing is extracted.

    packed: endings of files that are zips; NumPy's ".npz" is one too.

    Raises:
        VmaError: the source is not there, or a file or zip in it cannot be read.
    """
    if not source.exists():
        raise VmaError(f"there is no {source}: give --from the folder or zip that holds the files")
    for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
        match = wanted.search(path.as_posix())
        try:
            if match and path.is_file():
                yield match, str(path), path.read_bytes()
            elif path.name.lower().endswith(packed) and path.is_file():
                yield from _zipped(path, str(path), wanted, packed)
        except OSError as error:
            raise VmaError(f"can't read {path}: {error.strerror or error}") from error


def _zipped(file: Path | io.BytesIO, where: str, wanted: re.Pattern[str], packed: tuple[str, ...]) -> Iterator[Found]:
    try:
        with zipfile.ZipFile(file) as archive:
            for name in sorted(archive.namelist()):
                match = wanted.search(name)
                if match:
                    yield match, f"{where}:{name}", archive.read(name)
                elif name.lower().endswith(packed) and not PurePosixPath(name).name.startswith("._"):
                    yield from _zipped(io.BytesIO(archive.read(name)), f"{where}:{name}", wanted, packed)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise VmaError(f"{where} can't be read as a zip ({error}); get it again, or download anew") from error


def named_files(source: Path, names: Sequence[str], title: str, way_out: str) -> dict[str, tuple[str, bytes]]:
    """The files of these names, found as by `wanted_files`: name → where it lies in words for people, and its content.

    Raises:
        VmaError: as in `wanted_files`; one is missing, or there are two different ones of a name.
    """
    found: dict[str, tuple[str, bytes]] = {}
    any_of_them = "|".join(re.escape(name) for name in names)
    for match, where, content in wanted_files(source, re.compile(rf"(?:^|/)(?P<name>{any_of_them})$")):
        name = match["name"]
        if found.setdefault(name, (where, content))[1] != content:
            raise VmaError(f"{source} holds two different {name}: {found[name][0]} and {where}; give one of them")
    missing = [name for name in names if name not in found]
    if missing:
        raise VmaError(f"{title} is not in {source}, or not whole: no {', '.join(missing)}; {way_out}")
    return found
