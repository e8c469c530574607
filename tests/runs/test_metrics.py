"""metrics.jsonl: what is damaged is passed over, and what is written is JSON."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from vmacore.errors import VmaError
from vmacore.runs import metrics

DAMAGED = [
    b"\xff\xfe torn", b"[" * 100_000, b'{"kind": "train", "step": 1e400}', b'{"step": 3}', b"7", b"null",
    b'{"kind": "tr', b'{"kind": "train", "step": 1, "nll": "text"}', b'{"kind": "train", "step": 1, "nll": [1]}',
    b'{"kind": [], "step": 1}',
    b'{"kind": "train", "step": true}', b'{"kind": "train", "step": 1, "nll": NaN}', b"9" * 5000,
]  # fmt: skip


def test_damaged_rows_are_passed_over(tmp_path: Path) -> None:
    metrics.append(tmp_path, "train", {"step": 1, "nll": 2.5})
    with (tmp_path / metrics.FILE).open("ab") as file:
        file.write(b"\n".join([b"", *DAMAGED, b""]))
    metrics.append(tmp_path, "validation", {"step": 2, "nll": 3.5, "accuracy": None})
    assert [(row["kind"], row["step"], row["nll"]) for row in metrics.rows(tmp_path)] == [
        ("train", 1, 2.5),
        ("validation", 2, 3.5),
    ]
    metrics.cut_after(tmp_path, 1)
    assert (tmp_path / metrics.FILE).read_text() == '{"kind": "train", "step": 1, "nll": 2.5}\n'


def test_a_last_row_without_its_newline_stays_a_row_of_its_own(tmp_path: Path) -> None:
    (tmp_path / metrics.FILE).write_text('{"kind": "train", "step": 1, "nll": 2.5}')
    metrics.cut_after(tmp_path, 1)
    metrics.append(tmp_path, "train", {"step": 2, "nll": 2.0})
    assert [row["step"] for row in metrics.rows(tmp_path)] == [1, 2]


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    metrics.append(tmp_path, "train", {"step": 1, "nll": math.nan, "elbo": -math.inf})
    line = (tmp_path / metrics.FILE).read_text()
    assert json.loads(line) == {"kind": "train", "step": 1, "nll": None, "elbo": None}


def test_the_row_of_a_kind_that_was_written_last(tmp_path: Path) -> None:
    assert metrics.last(tmp_path, "train") == {}
    metrics.append(tmp_path, "validation", {"step": 2, "nll": 50.0})
    assert metrics.last(tmp_path, "train") == {}
    for step in (5, 10):
        metrics.append(tmp_path, "train", {"step": step, "nll": 40.0})
    metrics.append(tmp_path, "validation", {"step": 12, "nll": 50.0})
    assert metrics.last(tmp_path, "train") == {"kind": "train", "step": 10, "nll": 40.0}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / metrics.FILE)
    with pytest.raises(VmaError, match="no regular file"):
        metrics.rows(tmp_path)
