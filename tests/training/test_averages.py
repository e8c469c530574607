"""The averaged weights, and which weights are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.small_runs import DATASET, create_run
from vmacore.errors import VmaError
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model, read_tensors
from vmacore.training.loop import train


def test_averaged_weights_are_loaded_unless_raw_ones_are_asked_for(straight: RunDirectory) -> None:
    location = find_run(straight.checkpoint(20), runs_dir=straight.path.parent)
    files = {name: read_tensors(straight.checkpoint(20) / file) for name, file in WEIGHTS.items()}
    default, raw = load_model(location), load_model(location, weights="raw")
    for name, weight in default.state_dict().items():
        assert torch.equal(weight, files["averaged"][name])
        assert torch.equal(raw.state_dict()[name], files["raw"][name])
    differing = [name for name in files["raw"] if not torch.equal(files["raw"][name], files["averaged"][name])]
    assert len(differing) > 0.9 * len(files["raw"])
    with pytest.raises(VmaError, match="no 'best' weights; choose one of raw, averaged"):
        load_model(location, weights="best")


def test_a_location_without_raw_weights(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 2})
    train(run, DATASET)
    (run.checkpoint(2) / WEIGHTS["raw"]).unlink()
    location = find_run(run.path, runs_dir=tmp_path)
    load_model(location)
    with pytest.raises(VmaError, match="run holds no raw weights"):
        load_model(location, weights="raw")


def test_averaged_weights_are_the_running_average(tmp_path: Path) -> None:
    """a ← d a + (1 − d) w with d = min(average, (1 + n) / (10 + n)), from the first weights on."""
    weights = []
    for steps in range(1, 5):
        run = create_run(tmp_path / str(steps), optimiser={"average": 0.28}, training={"steps": steps})
        train(run, DATASET)
        folder = run.checkpoint(steps)
        weights.append(read_tensors(folder / WEIGHTS["raw"])["prior.0.weight"])
    averaged = weights[0]
    for count, weight in enumerate(weights[1:], start=1):
        decay = min(0.28, (1 + count) / (10 + count))
        averaged = decay * averaged + (1 - decay) * weight
    found = read_tensors(folder / WEIGHTS["averaged"])["prior.0.weight"]
    torch.testing.assert_close(found, averaged, rtol=1e-6, atol=1e-7)
