"""Files and folders that appear whole or not at all, and stay once they are there.

What is written has a temporary name until it is whole: .NAME.HOST.PROCESS.NUMBER.tmp. Such names of processes that have
ended are removed by whoever next writes in that folder.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32] or "host"
TEMPORARY = re.compile(rf"\..+\.{HOST}\.(?P<process>[0-9]{{1,10}})\.[0-9]+\.tmp")
_count = itertools.count()
_swept: set[Path] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_swept.clear)


def data_folder(named: Path | None = None) -> Path:
    """Where data sets and downloaded weights lie: the folder named, else what VMA_DATA names, else data."""
    return Path(os.environ.get("VMA_DATA") or "data") if named is None else Path(named)


def content(path: Path, most: int) -> bytes:
    """The bytes of a regular file, never waiting for any.

    Raises:
        OSError: it cannot be read, is a pipe or a device, or has more than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if about.st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(about.st_size)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends; if that fails, nothing is left behind.

    Folders above are made; of a link the file that it leads to is replaced. Raises whatever the block does, and OSError
    where the system refuses or `path` is a device.
    """
    path = Path(os.path.realpath(path))
    _check_regular(path)
    part = _beside(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Make or replace a small file in one step."""
    with replacing(path) as file:
        file.write(content)


def write(path: Path, content: bytes) -> None:
    """Write a file of a folder that `new_folder` makes, through to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def new_folder(path: Path, *, replaces: bool = False) -> Iterator[Path]:
    """A folder to fill that becomes `path` when the block ends; if that fails, nothing is left behind.

    Folders above are made. replaces: a folder that is there already makes room. Raises whatever the block does, and
    OSError where the system refuses, or where `path` is there and is not to be replaced.
    """
    part = _beside(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.mkdir()
        yield part
        _flush(part)
        if replaces:
            discard(path)
        part.rename(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def as_json(document: Any) -> str:
    """A document in JSON, on one line; null for what JSON cannot say, such as an error of one episode."""
    return json.dumps(_finite(document), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_writable(path: Path) -> None:
    """Find out, before hours of work, whether a file can be written there; folders made for that go again.

    Raises:
        OSError: it cannot.
    """
    _check_regular(path)
    with no_empty_folders(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = _beside(path)
        try:
            trial.touch()
        finally:
            trial.unlink(missing_ok=True)


def _check_regular(path: Path) -> None:
    """Raises OSError where something else than a file has that name: /dev/null would become one."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


@contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """A folder, made with those above it, for results of the block; those made that are empty at its end go again.

    Raises whatever the block does, and OSError where the system refuses.
    """
    with no_empty_folders(path):
        path.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def no_empty_folders(path: Path) -> Iterator[None]:
    """Of a folder and those above it, those that the block makes and leaves empty go again at its end."""
    absent = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in absent:
            with suppress(OSError):
                folder.rmdir()


def discard(folder: Path) -> None:
    """Remove a folder. Its name goes first, so that whoever reads beside finds all of it or nothing."""
    gone = _beside(folder)
    with suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A name for a temporary that nobody else takes, in the same folder; what killed processes left there goes."""
    if path.parent not in _swept:
        _swept.add(path.parent)
        sweep(path.parent)
    return path.with_name(f".{path.name}.{HOST}.{os.getpid()}.{next(_count)}.tmp")


def sweep(folder: Path) -> None:
    """Remove temporaries of processes that have ended."""
    for left in folder.glob(f".*.{HOST}.*.tmp") if folder.is_dir() else ():
        match = TEMPORARY.fullmatch(left.name)
        if match and not _runs(int(match["process"])):
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):
                left.unlink()


def _runs(process: int) -> bool:
    """Whether a process of this machine still runs; if nothing tells, it does."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _flush(folder: Path) -> None:
    """Make renames inside a folder durable, where the system can open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
