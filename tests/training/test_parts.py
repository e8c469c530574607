"""Trainings of one part of a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from tests.small_runs import DATASET, create_run
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import read_tensors
from vmacore.training.loop import ValidationReport, train
from vmacore.training.start import Start

RESIDUAL: dict[str, Any] = {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2)}
PARTS = {**RESIDUAL, "tied": True}


def test_addresses_train_and_the_rest_stays(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "model": PARTS,
        "objective": {"trains": "addresses"},
        "labels": {"weight": 2.0, "classes": 6},
        "training": {"steps": 60},
    }
    train(create_run(tmp_path / "first", model=PARTS, training={"steps": 1}), DATASET)
    location = find_run(tmp_path / "first", runs_dir=tmp_path)
    run = create_run(tmp_path / "run", **sections)
    first = read_tensors(location.path / WEIGHTS["averaged"])
    reports: list[ValidationReport] = []
    train(run, DATASET, start=Start.of(location), on_validation=reports.append)
    moved = {
        name: not torch.equal(weight, first[name])
        for name, weight in read_tensors(run.checkpoint(60) / WEIGHTS["raw"]).items()
    }
    trained = {name for name, has in moved.items() if has}
    assert trained <= {name for name in moved if name.startswith("key_network.")}
    assert "key_network.head.out.weight" in trained
    assert reports[-1].nll < math.log(4)  # it is of the class: four of them
    assert reports[-1].kl_latent == 0
    resumed = train(RunDirectory.open(run.path), DATASET, steps=62, resume=True)
    assert resumed.step == 62
