"""A lock on a run, so that no two processes train into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vmacore.errors import VmaError

LOCK = ".lock"  # stays behind, empty: whoever removed it could remove that of another process


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keeps other processes out of a run directory; the system lifts that with this process, however it ends.

    Raises:
        VmaError: another process trains the run already, or the folder cannot be written.
    """
    try:
        file = (run / LOCK).open("a+", encoding="ascii")
    except OSError as error:
        raise VmaError(f"cannot write {run / LOCK}: {error.strerror or error}") from error
    with file:
        if not _take(file):
            file.seek(0)
            number = file.read()
            who = f"process {number}" if number else "another process"
            raise VmaError(f"{who} trains {run} already: wait for it, stop it, or start a new run (--name)")
        file.truncate(0)
        file.write(str(os.getpid()))  # for whoever finds it taken
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _take(file: IO[str]) -> bool:
    """False where another process holds the lock. Systems and file systems without locks let everyone in."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True
