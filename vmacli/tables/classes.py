"""Tables of single classes: how often each is right, and which are taken for one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from vmacli.output import table

if TYPE_CHECKING:
    from vmacore.evaluation.answers import ClassAccuracy, Confusion

PAIRS = 15  # of classes confused, the most frequent


def by_class(classes: list[ClassAccuracy], confused: list[Confusion]) -> list[RenderableType]:
    """Over all tasks and rules that were asked for."""
    accuracy = _named("class", "% right", "queries")
    for item in classes:
        accuracy.add_row(item.name, f"{100 * item.accuracy:.1f}", str(item.queries))
    pairs = _named("class", "taken for", "%", "times")
    pairs.columns[1].justify, pairs.columns[1].no_wrap, pairs.columns[1].overflow = "left", False, "fold"
    for pair in confused[:PAIRS]:
        pairs.add_row(pair.label, pair.predicted, f"{100 * pair.count / pair.queries:.1f}", str(pair.count))
    return [accuracy, pairs] if confused else [accuracy]


def _named(*columns: str) -> Table:
    """Whose names give way where the terminal is narrow, and numbers do not."""
    made = table(*columns)
    made.columns[0].no_wrap, made.columns[0].overflow = False, "fold"
    return made
