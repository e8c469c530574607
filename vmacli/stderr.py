"""Standard error as something beside the work, that never ends it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any


class Stderr:
    """Standard error of this moment; once it fails (a full disk, a closed terminal) what is said there is dropped."""

    failed = False

    def write(self, text: str) -> int:
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def _stream(self) -> Any:
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # rich puts its own in place while a bar is shown

    def _try(self, what: str, *arguments: str) -> None:
        if self.failed or self._stream is None:
            return
        try:
            getattr(self._stream, what)(*arguments)
        except (OSError, ValueError):
            self.failed = True
            with suppress(OSError, ValueError):  # what is left in buffers would fail again when Python ends
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
