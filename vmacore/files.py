"""Files and folders that appear whole or not at all, and stay once they are there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends; if that fails, nothing is left behind.

    Folders above are made. Raises whatever the block does, and OSError where the system refuses.
    """
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
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed and had the same number
    try:
        part.mkdir()
        yield part
        _flush(part)
        if replaces:
            shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _flush(folder: Path) -> None:
    """Make renames inside a folder durable, where the system can open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
