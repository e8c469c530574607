"""What a process does about others: it joins those that torchrun started, and stops when it is asked to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from vmacli.interrupts import interrupts
from vmacli.opening import choose_device
from vmacli.session import Session

if TYPE_CHECKING:
    import torch

HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)


@contextmanager
def processes(session: Session) -> Iterator[torch.device]:
    """The device that was asked for; where torchrun started several processes, joined with them.

    Only the first of them to fail says why.
    """
    from vmacore.distributed import AnotherFailed, joined, launched

    device = choose_device(session.device)
    if not launched():
        yield device
        return
    try:
        with joined(device) as own:
            yield own
    except AnotherFailed:
        raise typer.Exit(1) from None


class Stop:
    """Set by SIGINT, SIGTERM and SIGHUP, asked by the training loop after each step."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, what shells expect."""
        return 128 + (self.signal or signal.SIGINT)  # where another process heard it

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self() and number != HANG_UP:  # a terminal that goes sends several of these
            raise KeyboardInterrupt  # asked twice: at once, without a save
        self.signal = self.signal or number


@contextmanager
def stopping() -> Iterator[Stop]:
    """While this lasts, SIGINT, SIGTERM and SIGHUP ask training to stop instead of stopping it; not those ignored."""
    stop = Stop()
    asked = [signal.SIGINT, signal.SIGTERM, *([] if HANG_UP is None else [HANG_UP])]
    before = {number: signal.getsignal(number) for number in asked if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop.hear)
    try:
        if interrupts.heard:
            raise KeyboardInterrupt  # what was imported has swallowed it
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
