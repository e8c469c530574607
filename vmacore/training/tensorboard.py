"""Training reports as TensorBoard events, where the extra `tensorboard` is installed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vmacore.errors import VmaError
from vmacore.training.loop import StepReport, ValidationReport


class Events:
    """Writes every number of a report under train/ or validation/, in nats; from_step: where a resumed run stands.

    Raises:
        VmaError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, from_step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise VmaError("TensorBoard is not installed: pip install tensorboard, or do without") from error
        self._writer: Any = SummaryWriter(folder, purge_step=from_step + 1)

    def step(self, report: StepReport) -> None:
        """Training means since the last report."""
        self._write("train", asdict(report), leave_out=("step", "steps"))

    def validation(self, report: ValidationReport) -> None:
        """The averaged weights on validation classes."""
        self._write("validation", asdict(report), leave_out=("step", "is_best"))

    def close(self) -> None:
        """Write out what is buffered."""
        self._writer.close()

    def _write(self, prefix: str, row: dict[str, Any], leave_out: tuple[str, ...]) -> None:
        for name, value in row.items():
            if name not in leave_out and value is not None:
                self._writer.add_scalar(f"{prefix}/{name}", value, row["step"])
