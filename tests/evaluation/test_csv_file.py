"""Tables in CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from vmacore.errors import VmaError
from vmacore.evaluation.csv_file import check_csv, save_csv


def test_what_is_saved(tmp_path: Path) -> None:
    save_csv(tmp_path / "new" / "table.csv", ("file", "right"), [("a, b\n.png", 1), ("na\udcffme", "é")])
    with (tmp_path / "new" / "table.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["file", "right"], ["a, b\n.png", "1"], ["na?me", "é"]]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (check_csv, lambda path: save_csv(path, ("file",), [])):
        with pytest.raises(VmaError, match="choose another --csv"):
            attempt(tmp_path / "file" / "table.csv")
