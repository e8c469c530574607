"""`vma bench` on a network small enough for a test."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import vmacore.bench
from tests.vmacli.conftest import Shell
from vmacli.main import app
from vmacore.bench import Measured, Report, estimator_report, growth, operations
from vmacore.bench.estimator_report import EstimatorReport
from vmacore.bench.estimator_training import Comparison, Reached
from vmacore.bench.estimators import Bias, CheckpointQuality, GradientQuality, Repetitions
from vmacore.config import load_recipe


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report as of the paper's network, made up; what measures is tested where it is."""
    results = [
        Measured("train-step", "steps/s", "B = 32, K = 4, |M| = 32", 8.0, 4.0, 12.0, 22.5e9, "contiguous"),
        Measured("score", "samples/s", "K = 1000, |M| = 32", 9000.0, 1500.0, 15000.0, 21.2e6, "channels_last"),
    ]
    rates = {"matrix product, 2048×2048 by 2048×2048": 300e9, "3×3 convolution, 48 to 48 maps, 256 × 26×26": 290e9}

    def measure(**options: object) -> Report:
        return Report(results, rates, 7, str(options["device"]), 2)

    monkeypatch.setattr(vmacore.bench, "measure", measure)


def test_document(shell: Shell) -> None:
    document = shell.json("bench", "--device", "cpu")
    assert document["rate"] == {"flop_per_s": 300e9, "reached_by": "matrix product, 2048×2048 by 2048×2048"}
    step, score = document["results"]
    assert {key: step[key] for key in ("name", "value", "unit", "reference", "ratio", "floor", "times_floor")} == {
        "name": "train-step",
        "value": 8.0,
        "unit": "steps/s",
        "reference": 4.0,
        "ratio": 2.0,
        "floor": 12.0,
        "times_floor": 1.5,
    }
    assert score["ratio"] == 6.0


def test_table_fits_a_terminal(shell: Shell) -> None:
    text = shell("bench", "--quick").stdout
    assert max(map(len, text.splitlines())) <= 80
    row = next(line for line in text.splitlines() if line.strip().startswith("train-step"))
    assert row.split() == ["train-step", "8.00", "steps/s", "4.00", "2.0×", "12.0", "1.50"]
    assert "300 GFLOP/s" in text


def test_quiet(shell: Shell) -> None:
    assert shell("bench", "--quiet").stdout == "train-step\t8.000\tsteps/s\nscore\t9000\tsamples/s\n"


def test_rates_are_measured_where_no_kind_is_named(shell: Shell) -> None:
    assert shell.json("bench", "rates") == shell.json("bench")
    assert "growth" in shell("bench", "--help").stdout


def test_growth(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "AXES", {"B": (1, 2)})
    monkeypatch.setattr(growth, "SCORE_AXES", {"K": (3,)})
    document = shell.json("bench", "growth", "--rounds", "1", "--device", "cpu")
    assert [(point["task"], point["axis"], point["value"]) for point in document["results"]] == [
        ("step", "B", 1),
        ("step", "B", 2),
        ("score", "K", 3),
    ]
    text = shell("bench", "growth", "--task", "score", "--rounds", "1").stdout
    assert "score, K =" in text
    assert "step" not in text


@pytest.mark.parametrize("shapes", [(), ("--shapes",)])
def test_operations(shell: Shell, monkeypatch: pytest.MonkeyPatch, shapes: tuple[str, ...]) -> None:
    a = torch.randn(64, 32)
    monkeypatch.setattr(operations, "task_call", lambda task, config, device: lambda: a @ a.T)
    document = shell.json("bench", "operations", "--task", "score", "--repeats", "1", *shapes)
    assert document["task"] == "score"
    (product,) = (row for row in document["results"] if row["name"] == "aten::mm")
    assert product["calls"] == 1
    assert product["shapes"] == ("64×32 32×64" if shapes else "")
    text = shell("bench", "operations", "--top", "1", "--repeats", "1", *shapes).stdout
    assert sum("aten::" in line for line in text.splitlines()) == 1
    assert ("64×32" in text) == bool(shapes) or "aten::mm" not in text


def test_large_memory(trained: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(arguments: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert arguments[:3] == [sys.executable, "-m", "vmacli"]
        result = CliRunner().invoke(app, arguments[3:])
        return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout)

    monkeypatch.setattr(subprocess, "run", in_this_process)
    size = ("--targets", "2", "--samples", "3", "--rounds", "1", "--cache", str(tmp_path))
    document = trained.json("bench", "large-memory", "tiny", "--size", "20", *size)
    (found,) = document["results"]
    assert (document["run"], found["slots"], found["classes"], found["bound"]["targets"]) == ("tiny", 20, 10, 2)
    assert [query["targets"] for query in found["queries"]] == [1, 20]
    (file,) = tmp_path.rglob("*.safetensors")
    built = file.stat().st_mtime_ns
    both = trained("bench", "large-memory", "tiny", "--size", "20", "--size", "30", *size).stdout
    assert both.split()[:3] == ["slots", "20", "30"]
    assert max(map(len, both.splitlines()[:20])) <= 80
    assert file.stat().st_mtime_ns == built
    assert "there is no run" in trained.refused("bench", "large-memory", "absent", "--size", "20")
    assert trained("bench", "large-memory", "absent", "--size", "20", "--size", "30", code=1).stdout == ""


def test_estimators(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator_report, "REPETITIONS", Repetitions(2, 20, 3, 3, 500))
    few = ("--estimator", "vimco", "--estimator", "rloo", "--seeds", "1", "--steps", "2", "--early", "2")
    document = trained.json("bench", "estimators", "tiny", *few)
    for checkpoint in ("early", "trained"):
        assert [row["estimator"] for row in document[checkpoint]["estimators"]] == ["vimco", "rloo"]
    assert [row["steps"] for row in document["training"]["equal_steps"]] == [2, 2]
    assert document["training"]["equal_time"][0]["steps"] == 2
    assert "choose one of" in trained.refused("bench", "estimators", "tiny", "--estimator", "absent")


def test_the_tables_of_estimators(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    bias = Bias(0.0, 0.07)
    row = GradientQuality(
        "vimco",
        "bound",
        {to: {"h": bias, "h_q": bias, "e_p": Bias(0.62, 0.7)} for to in ("own", "bound", "ELBO")},
        {"h": 1.0},
        {"h": 4.19, "h_q": 1.99, "e_p": 0.012},
        0.05,
    )
    quality = CheckpointQuality(2.71, [row])
    reached = Reached("vimco", 300, 163.4, 153.5, 0.0, 0.0, 1.19, 0.605)
    found = EstimatorReport(quality, quality, Comparison([reached], [reached]), load_recipe("glyphs"))
    monkeypatch.setattr(estimator_report, "compare_estimators", lambda *arguments, **more: found)
    text = trained("bench", "estimators", "tiny").stdout
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert "<0.07, <0.07, 0.62" in text
    assert "4.2, 2.0, 0.012" in text
    assert "60.5" in text
