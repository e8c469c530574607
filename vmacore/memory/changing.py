"""One process at a time changes a memory's file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def changing(path: Path, waits: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keeps a file to this process from before it is read until after it is replaced.

    Where another process changes it, calls `waits` and waits; a file that was replaced meanwhile is the one to keep.
    The system lifts the lock with this process, however it ends. A file that is not there, and systems without locks,
    let everyone in.
    """
    descriptor = _kept(path, waits)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _kept(path: Path, waits: Callable[[], None]) -> int | None:
    """A descriptor that holds the lock on the file that has this name now; None where there can be none."""
    try:
        import fcntl
    except ImportError:
        return None
    while path.is_file():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except OSError:
            return descriptor  # a file system without locks
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None
