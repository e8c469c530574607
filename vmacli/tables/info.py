"""The tables of `vma info`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from vmacli.output import table

if TYPE_CHECKING:
    from vmacore.data.available import Available
    from vmacore.runs.summaries import RunSummary


def data_table(rows: Sequence[Available], data_dir: Path) -> Table:
    """A row for each data set."""
    made = table("data", title=f"data in {data_dir}")
    made.add_column("found", no_wrap=True)
    made.add_column("what, or the way to it")
    for row in rows:
        made.add_row(row.name, "yes" if row.found else "no", row.description)
    return made


def runs_table(rows: Sequence[RunSummary], runs_dir: Path) -> Table:
    """A row for each run."""
    made = table("run", "step", "of", "best", "NLL", title=f"runs in {runs_dir}; best by NLL on validation")
    made.columns[0].no_wrap, made.columns[0].overflow = False, "fold"  # long names give way, not numbers
    made.add_column("data", no_wrap=True)
    for row in rows:
        nll = row.best_validation_nll
        made.add_row(
            row.name,
            _or_dash(row.step),
            str(row.steps),
            _or_dash(row.best_step),
            "–" if nll is None else f"{nll:.2f}",
            " ".join(filter(None, (Path(row.dataset).name, row.protocol))),
        )
    return made


def _or_dash(number: int | None) -> str:
    return "–" if number is None else str(number)
