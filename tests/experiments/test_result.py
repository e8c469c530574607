"""Rows beside the paper's numbers, and the files they are kept in."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from vmacore.errors import VmaError
from vmacore.experiments import EXPERIMENTS, about
from vmacore.experiments.lab.plans import Plan, Trained
from vmacore.experiments.lab.result import Result, Row, cells, grouped, notes, percent, verdict, write

NOTHING = Trained(Plan("digits", full=200), None, None, 200, "nothing trained: there is no run digits yet")
ROWS = [
    Row("VAE", 91.0, 0.5, 90.8, group="NLL", steps=50, full=200),
    Row("VMA", 80.0, 0.25, "69.1 to 75.1", group="NLL", steps=200, full=200),
    Row("accuracy", 81.25, 1.0, 91.0, unit="%", group="other"),
    Row.of(NOTHING, "soft attention", group="NLL"),
]


def test_difference_is_to_a_number() -> None:
    assert ROWS[0].difference == pytest.approx(0.2)
    assert [row.difference for row in ROWS[1:]] == [None, pytest.approx(-9.75), None]


def test_share_of_the_full_training() -> None:
    assert [row.share for row in ROWS] == [0.25, 1.0, None, 0.0]
    assert Row("more than full", 1.0, steps=300, full=200).share == 1.0


def test_a_row_says_why_it_has_no_number() -> None:
    assert ROWS[3].note == NOTHING.source
    assert (ROWS[3].steps, ROWS[3].full) == (0, 200)
    assert Row.of([NOTHING, NOTHING], "both", note="said already").note == "said already"


def test_a_short_training_is_never_the_experiment() -> None:
    assert Result(ROWS[1:3]).complete
    assert verdict(Result(ROWS[1:3])) == "The full training was done."
    assert verdict(Result([ROWS[2]])) == "Nothing had to be trained."
    assert not Result(ROWS[:1]).complete
    assert verdict(Result(ROWS[:1])) == "25 % of the full training was done: not yet the paper's experiment."
    assert verdict(Result(ROWS)) == (
        "0 % to 100 % of the full training was done: not yet the paper's experiment; 1 of 4 rows were not measured."
    )


def test_percentages_are_not_rounded_to_nothing_or_all() -> None:
    assert [percent(share) for share in (0, 0.0004, 0.1, 0.99999, 1)] == ["0 %", "0.04 %", "10 %", "99.9 %", "100 %"]


def test_cells() -> None:
    assert cells(ROWS[0]) == ["VAE", "90.80", "91.00", "+0.20", "0.50", "50/200"]
    assert cells(ROWS[1]) == ["VMA", "69.1 to 75.1", "80.00", "–", "0.25", "200/200"]
    assert cells(ROWS[2]) == ["accuracy", "91.0 %", "81.2 %", "−9.8", "1.0", "–"]
    assert cells(ROWS[3]) == ["soft attention", "–", "not measured", "–", "–", "0/200"]
    assert cells(Row("one episode", 1.0, math.nan))[4] == "–"
    assert cells(Row("time", 1234.5, 0.0123, 48, unit="ms"))[1:5] == ["48 ms", "1,234 ms", "+1,186", "0.0123"]
    assert cells(Row("zero", -0.001, paper=0.0))[2:4] == ["0.00", "−0.00"]


def test_groups_keep_their_order() -> None:
    assert [(group, len(rows)) for group, rows in grouped(ROWS)] == [("NLL", 3), ("other", 1)]


def test_a_note_that_rows_share_stands_once() -> None:
    rows = [Row("a", 1.0, note="same"), Row("b", 1.0, note="same"), Row("b", 2.0, note="same"), Row("c", 1.0)]
    assert notes(Result(rows, ["first"])) == ["first", "a; b: same"]
    rows = [Row("a", 1.0, group="K = 4", note="one"), Row("a", 1.0, group="K = 9", note="other")]
    assert notes(Result(rows)) == ["a (K = 4): one", "a (K = 9): other"]
    rows = [Row(label, 1.0, group="K = 4", note="step 7") for label in "ab"] + [Row("c", 1.0, note="step 7")]
    assert notes(Result(rows)) == ["K = 4; c: step 7"]


def test_files(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "fig"
    result = Result(
        ROWS, ["K = 4"], [folder / "fig.png", folder / "fig.svg"], {"curve": [1.0, math.nan], "at": Path("x")}
    )
    document = write(folder, result, {"id": "fig", "title": "A figure"}, "vma reproduce fig --budget 5m")
    stored = json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)
    assert stored == json.loads(json.dumps(document))
    assert stored["id"] == "fig"
    assert stored["invocation"] == "vma reproduce fig --budget 5m"
    assert stored["complete"] is False
    assert stored["figures"] == ["fig.png", "fig.svg"]
    assert stored["data"] == {"curve": [1.0, None], "at": "x"}
    assert stored["rows"][0] == {
        "group": "NLL",
        "label": "VAE",
        "unit": "nats",
        "paper": 90.8,
        "ours": 91.0,
        "difference": pytest.approx(0.2),
        "se": 0.5,
        "steps": 50,
        "full": 200,
        "share": 0.25,
        "note": "",
    }
    assert [path.name for path in folder.iterdir()] == ["result.json"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match="choose another --out"):
        write(tmp_path / "file", Result([]), {"title": "x"}, "vma reproduce x")


def test_every_experiment_of_the_paper_is_known() -> None:
    assert [one.id for one in EXPERIMENTS] == [
        "fig2a", "mnist-learned", "fig2b", "burda", "fig3", "fig4a", "fig4b", "baselines", "fig5a", "fig5b", "table1",
        "classification", "samples", "oneshot", "best", "table1-best", "ablations", "speed",
    ]  # fmt: skip
    assert about("fig3").data == ("omniglot",)
    with pytest.raises(VmaError, match="choose one of fig2a, mnist-learned"):
        about("fig9")
