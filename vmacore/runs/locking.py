"""A lock on a run, so that no two processes train into it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmacore.errors import VmaError

LOCK = ".lock"  # stays behind, empty: whoever removed it could remove that of another process
FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LONGEST = 20  # digits


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keeps other processes out of a run directory; the system lifts that with this process, however it ends.

    Raises:
        VmaError: another process trains the run already, the folder cannot be written, or the lock is no file that a
            training made.
    """
    try:
        descriptor = os.open(run / LOCK, FLAGS, 0o666)
    except OSError as error:
        raise VmaError(f"cannot write {run / LOCK}: {error.strerror or error}") from error
    try:
        free, known = _take(descriptor), os.fstat(descriptor)
        number = os.read(descriptor, LONGEST).decode("ascii", "replace") if stat.S_ISREG(known.st_mode) else "?"
        # A number is all that a training writes there: what else there is may be somebody's only copy.
        if known.st_nlink > 1 or not (number.isdigit() or not number) or len(number) == LONGEST:
            raise VmaError(f"{run / LOCK} is no lock that a training made: move it away")
        if not free:
            who = f"process {number}" if number else "another process"
            raise VmaError(f"{who} trains {run} already: wait for it, stop it, or start a new run (--name)")
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, str(os.getpid()).encode())  # for whoever finds it taken
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """False where another process holds the lock. Systems and file systems without locks let everyone in."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True
