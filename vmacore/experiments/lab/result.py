"""What an experiment found: rows beside the paper's numbers, and the files they are kept in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmacore.errors import writing
from vmacore.files import replace as replace_file

if TYPE_CHECKING:
    from vmacore.evaluation.likelihood import Score
    from vmacore.experiments.lab.plans import Trained


@dataclass(frozen=True)
class Row:
    """One number beside the paper's.

    ours: None where it was not measured; `note` then says why. se: its standard error. paper: a number, or words where
    the paper has a range or a claim. group: the heading that the row stands under. steps, full: updates of the training
    behind it, and how many count as the paper's full training; None where nothing was trained.
    """

    label: str
    ours: float | None = None
    se: float | None = None
    paper: float | str | None = None
    unit: str = "nats"
    group: str = ""
    steps: int | None = None
    full: int | None = None
    note: str = ""

    @staticmethod
    def of(
        trained: Trained | Sequence[Trained],
        label: str,
        ours: float | None = None,
        se: float | None = None,
        **more: Any,
    ) -> Row:
        """A row about one trained model or several: the fewest updates are filled in, and why there is no number.

        The note says of which step the weights are, where that is not the last.
        """
        several = trained if isinstance(trained, Sequence) else [trained]
        earlier = dict.fromkeys(f"weights of step {one.step:,}" for one in several if one.step < one.updates)
        note = "; ".join([*filter(None, [more.pop("note", "")]), *earlier])
        row = Row(label, ours, se, **more, note=note, steps=min(one.updates for one in several), full=several[0].full)
        if ours is None and not row.note:
            missing = [one.source for one in several if one.model is None]
            row = replace(row, note=missing[0] if missing else "no time left to measure it")
        return row

    @staticmethod
    def scored(trained: Trained | Sequence[Trained], label: str, score: Score | None, **more: Any) -> Row:
        """A row about an NLL, or about why there is none."""
        return Row.of(trained, label, *((score.nll, score.nll_se) if score else ()), **more)

    @property
    def difference(self) -> float | None:
        """Ours less the paper's, where both are numbers."""
        if self.ours is None or self.paper is None or isinstance(self.paper, str):
            return None
        return self.ours - self.paper

    @property
    def share(self) -> float | None:
        """Share of the full training that was done, at most 1; None where nothing was trained."""
        return None if self.steps is None or not self.full else min(1.0, self.steps / self.full)


@dataclass(frozen=True)
class Result:
    """What `run(lab)` of an experiment returns.

    notes: a sentence each; which data, memory, K, episodes and seed decide the numbers. figures: files written into the
    experiment's folder. data: anything else worth keeping, as JSON: curves, histograms.
    """

    rows: Sequence[Row]
    notes: Sequence[str] = ()
    figures: Sequence[Path] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every row was measured, after the full training where it was trained."""
        return all(row.ours is not None and row.share in (None, 1.0) for row in self.rows)


def verdict(result: Result) -> str:
    """One sentence: whether this is the experiment, or a shorter one."""
    if result.complete:
        trained = any(row.steps is not None for row in result.rows)
        return "The full training was done." if trained else "Nothing had to be trained."
    missing = sum(row.ours is None for row in result.rows)
    shares = [row.share for row in result.rows if row.share is not None]
    parts = []
    if shares and min(shares) < 1:
        least, most = min(shares), max(shares)
        span = percent(least) if least == most else f"{percent(least)} to {percent(most)}"
        parts.append(f"{span} of the full training was done: not yet the paper's experiment")
    if missing:
        parts.append(f"{missing} of {len(result.rows)} rows were not measured")
    return "; ".join(parts) + "."


def write(folder: Path, result: Result, about: Mapping[str, Any], invocation: str) -> dict[str, Any]:
    """Write result.json into the folder; returns the JSON document.

    about: what else stands at the head of the document, "title" among it. invocation: the command that was given.

    Raises:
        VmaError: a file cannot be written.
    """
    document = {
        **about,
        "invocation": invocation,
        "complete": result.complete,
        "verdict": verdict(result),
        "rows": [_row_document(row) for row in result.rows],
        "notes": list(result.notes),
        "figures": [path.name for path in result.figures],
        "data": finite(result.data),
    }
    with writing(folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(finite(document), indent=1, allow_nan=False) + "\n"
        replace_file(folder / "result.json", text.encode())
    return document


def notes(result: Result) -> list[str]:
    """The notes of the result and of its rows; one that rows share stands once, for a whole group by its name."""
    about: dict[str, list[str]] = {}
    for row in result.rows:
        alone = all(other.note == row.note for other in result.rows if other.label == row.label)
        group = [other.note == row.note for other in result.rows if other.group == row.group]
        whole = bool(row.group) and len(group) > 1 and all(group)
        name = row.group if whole else row.label if alone or not row.group else f"{row.label} ({row.group})"
        if row.note and name not in about.setdefault(row.note, []):
            about[row.note].append(name)
    return [*result.notes, *(f"{'; '.join(labels)}: {note}" for note, labels in about.items())]


def cells(row: Row) -> list[str]:
    """Label, paper, ours, difference, standard error, steps done and those of the full training, as text."""
    paper = "–" if row.paper is None else row.paper if isinstance(row.paper, str) else number(row.paper, row.unit)
    done = "–" if row.steps is None else f"{row.steps:,}/{row.full:,}" if row.full else f"{row.steps:,}"
    unit = "" if row.unit == "nats" else f" {row.unit}"
    return [
        row.label,
        paper + (unit if isinstance(row.paper, float | int) else ""),
        "not measured" if row.ours is None else number(row.ours, row.unit) + unit,
        "–" if row.difference is None else _signed(row.difference, row.unit),
        "–" if row.se is None or not math.isfinite(row.se) else number(row.se, row.unit),
        done,
    ]


def grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by group, both in the order in which they first came."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return list(groups.items())


def number(value: float, unit: str = "nats") -> str:
    """Two decimals for nats, one for percentages; whole numbers and three figures for what is counted or timed."""
    if not math.isfinite(value):
        return "–"
    if unit in ("nats", "%"):
        return f"{value:z,.2f}" if unit == "nats" else f"{value:z.1f}"
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share as a percentage that is never rounded to 0 or 100 from inside."""
    value = 100 * share
    if value > 99:
        return f"{math.floor(10 * value) / 10:g} %"
    return f"{value:.0f} %" if value == 0 or value >= 1 else f"{value:.2g} %"


def finite(value: Any) -> Any:
    """The same as JSON can hold it: null for what is not a number, text for paths and keys."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _signed(difference: float, unit: str) -> str:
    return ("−" if difference < 0 else "+") + number(abs(difference), unit)


def _row_document(row: Row) -> dict[str, Any]:
    names = ("group", "label", "unit", "paper", "ours", "difference", "se", "steps", "full", "share", "note")
    return {name: getattr(row, name) for name in names}
