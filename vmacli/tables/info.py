"""The table of `vma info`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from vmacli.output import table

if TYPE_CHECKING:
    from vmacore.data.available import Available


def data_table(rows: Sequence[Available], data_dir: Path) -> Table:
    """A row for each data set."""
    made = table("data", title=f"data in {data_dir}")
    made.add_column("found", no_wrap=True)
    made.add_column("what, or the way to it")
    for row in rows:
        made.add_row(row.name, "yes" if row.found else "no", row.description)
    return made
