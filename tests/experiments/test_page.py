"""Pages of experiments: what they hold, what they leave out, and what is kept when they are written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmacore.errors import VmaError
from vmacore.experiments.lab.page import BEGIN, END, by_hand, command, page, read, table, write_page
from vmacore.experiments.lab.result import Result, Row, write

ROWS = [
    Row("VMA", 80.0, 0.25, "69.1 to 75.1", group="NLL", steps=50, full=200, note="weights of step 40"),
    Row("VAE", 91.0, 0.5, 90.8, group="NLL", steps=200, full=200),
    Row("q(a|x)", 81.25, unit="%"),
]
ABOUT = {"id": "fig", "title": "A figure", "paper": "a claim", "date": "2026-01-02", "threads": 2, "seconds": 3.4}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder of a result with two figures, of which pages show one."""
    folder = tmp_path / "out" / "fig"
    write(folder, Result(ROWS, ["K = 4"], [folder / "fig.png", folder / "fig.svg"]), ABOUT, "vma reproduce fig --out x")
    (folder / "fig.png").write_bytes(b"drawn")
    return folder


def document(source: Path) -> dict[str, Any]:
    return read(source / "result.json")


def test_a_page_holds_the_result(source: Path, tmp_path: Path) -> None:
    path = write_page(document(source), source, tmp_path / "docs")
    lines = path.read_text().splitlines()
    assert path.name == "fig.md"
    assert lines[0] == "# A figure"
    for line in (
        "    vma reproduce fig",
        "The paper: a claim.",
        "25 % to 100 % of the full training was done: not yet the paper's experiment.",
        "- K = 4",
        "- Measured on 2026-01-02, threads: 2, 3 s.",
        "![A figure](fig.png)",
        "## NLL",
        "| VAE | 90.80 | 91.00 | +0.20 | 0.50 | 200/200 | – |",
        "| VMA | 69.1 to 75.1 | 80.00 | – | 0.25 | 50/200 | weights of step 40 |",
        "## Numbers",
    ):
        assert line in lines
    assert sorted(file.name for file in path.parent.iterdir()) == ["fig.md", "fig.png"]
    assert (path.parent / "fig.png").read_bytes() == b"drawn"


def test_lines_by_hand_are_kept(source: Path, tmp_path: Path) -> None:
    path = write_page(document(source), source, tmp_path)
    assert "## What it says" not in path.read_text()
    path.write_text(path.read_text().replace(END, f"It holds.\n\n- nearly\n{END}"))
    changed = {**document(source), "paper": "another claim"}
    for _ in range(2):
        write_page(changed, source, tmp_path)
        assert by_hand(path.read_text()) == "It holds.\n\n- nearly"
    text = path.read_text()
    assert "The paper: another claim." in text
    assert text.count("## What it says") == text.count("It holds.") == text.count(BEGIN) == 1


def test_a_page_whose_marks_are_gone_is_written_anew() -> None:
    assert by_hand(f"{BEGIN}\nno end") == by_hand(f"no begin {END}") == ""


def test_empty_columns_are_left_out() -> None:
    assert table(ROWS[2:]) == ["|  | here |", "| --- | --- |", "| q(a\\|x) | 81.2 % |"]


def test_a_page_beside_its_result(source: Path) -> None:
    write_page(document(source), source, source)
    assert (source / "fig.png").read_bytes() == b"drawn"


def test_a_command_names_no_folders() -> None:
    given = "vma --data-dir /d reproduce --out='/a b' fig --runs-dir /r --budget 5m"
    assert command(given) == "vma reproduce fig --budget 5m"


def test_a_result_with_little_in_it() -> None:
    assert page({"id": "x", "title": "X", "rows": [], "figures": []}).startswith("# X\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "run `vma reproduce` first"), ("{", "not a result"), ("1", "not a"), ("[" * 10_000, "not a")],
)
def test_what_cannot_be_read(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    with pytest.raises(VmaError, match=words):
        read(tmp_path / "result.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"figures": ["../../precious.png"]},
        {"figures": ["/etc/precious.png"]},
        {"figures": [".precious.png"]},
        {"figures": [5]},
        {"figures": 5},
        {"id": "../precious"},
        {"id": None},
        {"rows": [{"group": {}}]},
        {"rows": {"a": 1}},
        {"notes": 5},
        {"seconds": "long"},
        {"versions": []},
        {"invocation": "'"},
    ],
    ids=str,
)
def test_a_result_that_somebody_else_wrote(source: Path, changes: dict[str, Any]) -> None:
    (source / "result.json").write_text(json.dumps({**document(source), **changes}))
    with pytest.raises(VmaError, match="is not a result of `vma reproduce`") as caught:
        document(source)
    assert "\n" not in str(caught.value)


def test_a_page_that_cannot_be_read_is_not_written_over(source: Path, tmp_path: Path) -> None:
    (tmp_path / "fig.md").write_bytes(b"\xff my only copy")
    with pytest.raises(VmaError, match=r"cannot be kept .*move it away"):
        write_page(document(source), source, tmp_path)
    assert (tmp_path / "fig.md").read_bytes() == b"\xff my only copy"


def test_a_figure_that_is_gone(source: Path, tmp_path: Path) -> None:
    (source / "fig.png").unlink()
    with pytest.raises(VmaError, match=r"fig\.png: No such file"):
        write_page(document(source), source, tmp_path)
