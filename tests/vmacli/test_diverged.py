"""Weights that are numbers, and give none: commands say so in one line, and write nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.pictures import save_classes
from tests.vmacli.conftest import Shell
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.weights import read_tensors


@pytest.fixture(scope="module")
def wild(trained: Shell, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands with a run whose weights are finite, as a high learning rate leaves them, and pictures beside it."""
    made = Shell(tmp_path_factory.mktemp("diverged"))
    tiny = RunDirectory.open(trained.runs / "tiny")
    stored = read_tensors(tiny.checkpoint(20) / WEIGHTS["averaged"])
    ruined = {name: tensor * 1e30 for name, tensor in stored.items()}
    RunDirectory.create(made.runs / "wild", tiny.config).save(1, dict.fromkeys(WEIGHTS.values(), ruined), {"best": {}})
    save_classes(made.folder / "symbols", {"letter": 2, "curve": 2})
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "wild", "--out", "result.png"),
        ("sample", "wild", "--out", "result.png", "--candidates", "1"),
        ("classify", "wild", "--episodes", "2", "--csv", "result.csv"),
        ("export", "wild", "result"),
        ("memory", "build", "result.mem", "symbols", "--weights", "runs/wild"),
    ],
    ids=" ".join,
)
def test_nothing_is_made_of_no_numbers(
    wild: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(wild.folder)
    line = wild.refused(*arguments)
    assert "not finite, as after a training that diverged: take another checkpoint, or train again" in line
    assert not list(Path().glob("result*"))


def test_a_report_tells_what_is_missing(wild: Shell, tmp_path: Path) -> None:
    document = wild.json("report", "wild", "--out", str(tmp_path / "page.html"), "--episodes", "2", "--targets", "8")
    told = [item["why"] for item in document["missing"]]
    assert sum("not finite, as after a training that diverged" in why for why in told) >= 3
