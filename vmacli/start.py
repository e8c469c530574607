"""Where the `vma` process starts. A Ctrl-C ends it with one line at any instant, while modules are imported too."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from vmacli.interrupts import INTERRUPTED, interrupts


def run() -> None:
    """The entry point."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started this lets none through
        signal.signal(signal.SIGINT, interrupts.hear)
    try:
        from vmacli.main import run as command  # takes a while

        command()
    except Exception:
        if not interrupts.heard:
            raise
        _end()
    except KeyboardInterrupt:
        _end()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done


def _end() -> None:
    with suppress(OSError):
        os.write(2, b"error: interrupted\n")
    sys.exit(INTERRUPTED)
