"""Files that somebody else may have written: read within bounds, and whatever is wrong with one ends in one line."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmacore.errors import VmaError

LONGEST = 200  # letters of somebody else's that an error repeats


class Gone(VmaError):
    """The folder of a file is there no longer: another process has removed it since it was found."""


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
def reading(file: Path | str, way_out: str, verdict: str = "is missing or damaged") -> Iterator[None]:
    """Turns anything that goes wrong with a file in the block into one line: file, verdict, reason and way out.

    Raises:
        Gone: the folder that holds the file has gone.
        VmaError: whatever else is wrong; one raised inside passes as it is.
    """
    try:
        yield
    except VmaError:
        raise
    except Exception as error:
        kind = Gone if isinstance(file, Path) and not file.parent.is_dir() else VmaError
        raise kind(f"{file} {verdict} ({reason(error)}): {way_out}") from error


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    match error:
        case OSError():
            words = error.strerror or str(error)
        case RecursionError():
            words = "it is nested too deeply"
        case MemoryError():
            words = "it needs more memory than there is"
        case UnicodeDecodeError():
            words = "it is not text in UTF-8"
        case KeyError():
            words = f"no {error}"
        case _:
            words = str(error)
    return cut(words) or type(error).__name__


def cut(text: str, most: int = LONGEST) -> str:
    """A text on one line that is printable and not long."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text[: 4 * most].split()))
    return line if len(line) <= most else line[:most] + "…"
