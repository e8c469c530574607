"""What a process does about others: it joins those that torchrun started, and stops when it is asked to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from vmacli.runs import choose_device
from vmacli.session import Session

if TYPE_CHECKING:
    import torch


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
    """Set by SIGINT and SIGTERM, asked by the training loop after each step."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, what shells expect."""
        return 128 + (self.signal or signal.SIGINT)  # where another process heard it

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self():
            raise KeyboardInterrupt  # asked twice: at once, without a save
        self.signal = number


@contextmanager
def stopping() -> Iterator[Stop]:
    """While this lasts, SIGINT and SIGTERM ask training to stop instead of stopping it."""
    stop = Stop()
    before = {number: signal.signal(number, stop.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
