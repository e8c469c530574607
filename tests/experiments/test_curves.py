"""Learning curves: what stands in a run's metrics, thinned to its validations."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from vmacore.experiments.lab import curves
from vmacore.experiments.lab.lab import Lab


def metrics(folder: Path, *validated: int) -> None:
    """A run that reports every step, NLL 100 less the step, and validates at some, 10 nats above."""
    rows = []
    for step in range(1, max(validated) + 1):
        rows.append({"kind": "train", "step": step, "nll": 100.0 - step})
        if step in validated:
            rows.append({"kind": "validation", "step": step, "nll": 110.0 - step, "nll_se": 0.5})
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_training_is_the_mean_since_the_validation_before(tmp_path: Path) -> None:
    metrics(tmp_path / "one", 2, 5)
    points = curves.read(tmp_path / "one")
    assert [(point.step, point.validation, point.training) for point in points] == [(2, 108, 98.5), (5, 105, 96)]
    assert curves.read(tmp_path / "none") == []


def test_all_runs_that_are_there_are_written(lab: Lab) -> None:
    assert curves.write(lab) == []
    metrics(lab.runs_dir / "omniglot-1e-4", 2, 4, 6)
    metrics(lab.runs_dir / "omniglot-vae", 3)  # no line yet
    metrics(lab.runs_dir / "unknown", 2, 4)
    assert [path.name for path in curves.write(lab)] == ["learning-curves.png", "learning-curves.svg"]
    with (lab.out / "learning-curves.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], int(row["step"])) for row in rows] == [("omniglot-1e-4", step) for step in (2, 4, 6)]
    assert float(rows[1]["validation"]) == pytest.approx(106)
    assert float(rows[1]["training"]) == pytest.approx(96.5)
