"""The tables of `vma reproduce`: the experiments, and one's numbers beside the paper's."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table

from vmacli.output import table
from vmacore.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from vmacore.experiments.lab.result import Result

PAPER_WIDTH = 12  # letters of a line of what the paper says


def experiments() -> Table:
    """A row for each experiment."""
    made = table("experiment", "what", "data", "takes about")
    for column in made.columns[1:]:
        column.justify = "left"
    made.columns[1].no_wrap = False
    for known in EXPERIMENTS:
        made.add_row(known.id, known.title, "\n".join(known.data) or "none", known.takes)
    return made


def shown_result(result: Result, folder: Path) -> list[RenderableType]:
    """A table for each group of rows, and what is said of them."""
    from vmacore.experiments.lab.result import grouped, notes, verdict

    shown: list[RenderableType] = [beside_paper(group, rows) for group, rows in grouped(result.rows)]
    return [*shown, verdict(result), *(f"– {note}" for note in notes(result)), f"written to {folder}"]


def beside_paper(group: str, rows: list[Any]) -> Table:
    """A row for each number."""
    from vmacore.experiments.lab.result import cells

    columns = ("", "paper", "ours", "difference", "± s.e.", "steps/full")
    made, texts = table(*columns, title=group or None), [cells(row) for row in rows]
    # Words are broken here: left to wrap, the columns of words would not give way to the numbers.
    numbers = [max(len(name), *(len(text[i]) for text in texts)) for i, name in enumerate(columns) if i > 1]
    paper = max(len("paper"), *(min(len(text[1]), PAPER_WIDTH) for text in texts))
    for label, claim, *others in texts:
        name = textwrap.fill(label, max(8, 80 - sum(numbers) - paper - 3 * len(columns)))
        made.add_row(name, textwrap.fill(claim, paper), *others)
    return made


def row_name(group: str, label: str) -> str:
    """What a row is called outside its table."""
    return f"{group}, {label}" if group else label
