"""metrics.jsonl of a run: a row of JSON for each report. A row that was cut short or damaged is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vmacore.errors import reading, writing
from vmacore.files import as_json, content, replace

FILE = "metrics.jsonl"
LARGEST = 2**28  # bytes
REPORTS = ("train", "validation")  # kinds of rows that hold numbers alone


def rows(run: Path) -> list[dict[str, Any]]:
    """All rows, each with its `kind` and `step`; none where there is no such file.

    Raises:
        VmaError: the file cannot be read.
    """
    return [row for line in _text(run).splitlines() if (row := _row(line))]


def last(run: Path, kind: str) -> dict[str, Any]:
    """The last row of a kind, empty if there is none. Raises as `rows`."""
    return next((row for row in reversed(rows(run)) if row["kind"] == kind), {})


def append(run: Path, kind: str, row: dict[str, Any]) -> None:
    """Write one more row; what is not a number becomes null.

    Raises:
        VmaError: the file cannot be written.
    """
    path = run / FILE
    with writing(path, "make room there, then resume the run"), path.open("a", encoding="utf-8") as file:
        file.write(as_json({"kind": kind, **row}) + "\n")


def cut_after(run: Path, step: int) -> None:
    """Drop rows of later steps, and what is no row; end the last one, so that the next is its own."""
    text = _text(run)
    kept = [line for line in text.splitlines() if (row := _row(line)) and row["step"] <= step]
    if (whole := "".join(line + "\n" for line in kept)) != text:
        replace(run / FILE, whole.encode())


def _text(run: Path) -> str:
    path = run / FILE
    if not path.exists():
        return ""
    with reading(path, "move it away to go on without what was reported"):
        return content(path, LARGEST).decode("utf-8", "replace")


def _row(line: str) -> dict[str, Any] | None:
    """The row of a line, if it is one."""
    try:
        row = json.loads(line)
        numbers = [value for key, value in row.items() if key != "kind"] if row["kind"] in REPORTS else []
        sound = isinstance(row["kind"], str) and type(row["step"]) is int
        sound = sound and all(value is None or float(value) == value for value in numbers)
    except Exception:  # whatever a damaged line makes the parser meet
        return None
    return row if sound else None
