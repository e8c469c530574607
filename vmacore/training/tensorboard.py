"""Training reports as TensorBoard events, where the extra `tensorboard` is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vmacore.errors import VmaError, reason
from vmacore.training.loop import StepReport, ValidationReport


class Events:
    """Writes every number of a report under train/ or validation/, in nats, as long as they can be written.

    from_step: where a resumed run stands. lost: is told, once, why nothing is written any more.

    Raises:
        VmaError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, from_step: int, lost: Callable[[str], None]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise VmaError("TensorBoard is not installed: pip install tensorboard, or do without") from error
        self._writer: Any = None
        self._lost = lost
        with self._beside_the_work():
            self._writer = SummaryWriter(folder, purge_step=from_step + 1)

    def step(self, report: StepReport) -> None:
        """Training means since the last report."""
        self._write("train", asdict(report), leave_out=("step", "steps"))

    def validation(self, report: ValidationReport) -> None:
        """The averaged weights on validation classes."""
        self._write("validation", report.numbers(), leave_out=("step", "is_best"))

    def close(self) -> None:
        """Write out what is buffered."""
        with self._beside_the_work():
            if self._writer is not None:
                self._writer.close()

    def _write(self, prefix: str, row: dict[str, Any], leave_out: tuple[str, ...]) -> None:
        with self._beside_the_work():
            for name, value in row.items():
                if self._writer is not None and name not in leave_out and value is not None:
                    self._writer.add_scalar(f"{prefix}/{name}", value, row["step"])

    @contextmanager
    def _beside_the_work(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # its writer raises here what its thread has met
            self._writer = None
            self._lost(f"no TensorBoard events any more ({reason(error)}); training goes on")
