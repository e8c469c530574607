"""Has the C library keep the memory that torch frees, instead of giving it back and asking for it again."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt, from malloc.h.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """True where the C library could be told so: glibc, on Linux.

    By default every large tensor is mapped from the system and unmapped again, and the next one is paid for page by
    page: a third of the time of scoring on a CPU. Told so, the process stays as large as it once was.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library
    # The largest threshold that glibc takes is 32 MiB; larger blocks are mapped as before.
    settings = ((MMAP_THRESHOLD, 32 << 20), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 64 << 20))
    return all(mallopt(parameter, value) for parameter, value in settings)
