"""Accuracy of each class, and which classes are taken for one another, as tables of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmacore.evaluation.answers import ClassAccuracy, Confusion

MOST_CLASSES = 40  # rows and columns of a table of confusions
MOST_PAIRS = 30
MOST_ACCURACIES = 200
SHADES = (0.0, 0.05, 0.2, 0.5)  # parts above which a cell has the next shade


@dataclass(frozen=True)
class Cell:
    """How often a row's class was taken for the column's; level: its shade, 0 for never."""

    count: int
    level: int
    right: bool


@dataclass(frozen=True)
class Row:
    """What pictures of a class were taken for."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class ClassTable:
    """accuracies: the least accurate first, `left_out` more are not shown. columns and rows: who was taken for whom;
    empty where classes are too many. pairs: the most frequent; more_pairs: others.
    """

    accuracies: Sequence[ClassAccuracy]
    left_out: int
    columns: Sequence[str]
    rows: Sequence[Row]
    pairs: Sequence[Confusion]
    more_pairs: int


def class_table(accuracies: Sequence[ClassAccuracy], confusions: Sequence[Confusion]) -> ClassTable:
    """Of what `vmacore.evaluation.answers` counts. Without a confusion there is no table of them."""
    names = sorted(item.name for item in accuracies)
    others = sorted({pair.predicted for pair in confusions} - set(names))
    columns = [*names, *others]
    small = confusions and len(columns) <= MOST_CLASSES
    return ClassTable(
        accuracies=accuracies[:MOST_ACCURACIES],
        left_out=max(0, len(accuracies) - MOST_ACCURACIES),
        columns=columns if small else [],
        rows=_rows(sorted(accuracies, key=lambda item: item.name), confusions, columns) if small else [],
        pairs=confusions[:MOST_PAIRS],
        more_pairs=max(0, len(confusions) - MOST_PAIRS),
    )


def _rows(accuracies: Sequence[ClassAccuracy], confusions: Sequence[Confusion], columns: Sequence[str]) -> list[Row]:
    counts = {(pair.label, pair.predicted): pair.count for pair in confusions}
    counts |= {(item.name, item.name): item.right for item in accuracies}
    return [
        Row(
            item.name,
            [
                Cell(count, _level(count / item.queries), item.name == column)
                for column in columns
                for count in [counts.get((item.name, column), 0)]
            ],
        )
        for item in accuracies
    ]


def _level(part: float) -> int:
    """0 for nothing, then 1 … 4."""
    return sum(part > shade for shade in SHADES)
