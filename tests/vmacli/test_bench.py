"""`vma bench` on a network small enough for a test."""

import pytest

import vmacore.bench
from tests.vmacli.conftest import Shell
from vmacore.bench import Measured, Report


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
