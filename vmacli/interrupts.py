"""What hears a Ctrl-C, from the first import on."""

from __future__ import annotations

from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, what shells expect


class Interrupts:
    """Hears Ctrl-C, and remembers it: what is imported meanwhile may swallow the exception, or raise another."""

    heard = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True
        raise KeyboardInterrupt


interrupts = Interrupts()
