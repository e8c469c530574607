"""Trainings of one part of a model, and of coarse latents that come to count."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small_runs import DATASET, create_run
from vmacore.episodes import training_sampler
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import read_tensors
from vmacore.training.loop import ValidationReport, train
from vmacore.training.start import Start
from vmacore.training.trainer import Trainer

RESIDUAL: dict[str, Any] = {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2)}
PARTS = {**RESIDUAL, "tied": True}


@pytest.mark.parametrize("part", ["addresses", "images"])
def test_one_part_trains_and_the_other_stays(tmp_path: Path, part: str) -> None:
    sections: dict[str, Any] = {
        "model": PARTS,
        "objective": {"trains": part, "labels": 2.0, "slot_class_weight": 1.0},
        "training": {"steps": 60},
    }
    train(create_run(tmp_path / "first", model=PARTS, training={"steps": 1}), DATASET)
    location = find_run(tmp_path / "first", runs_dir=tmp_path)
    run = create_run(tmp_path / "run", **sections)
    first = read_tensors(location.path / WEIGHTS["averaged"])
    reports: list[ValidationReport] = []
    train(run, DATASET, start=Start(location), on_validation=reports.append)
    moved = {
        name: not torch.equal(weight, first[name])
        for name, weight in read_tensors(run.checkpoint(60) / WEIGHTS["raw"]).items()
    }
    of_addresses = {name for name in moved if name.startswith("key_network.")}
    trained = {name for name, has in moved.items() if has}
    assert trained <= (of_addresses if part == "addresses" else moved.keys() - of_addresses)
    assert "key_network.head.out.weight" in trained or part == "images"
    assert "decoder.pixels.weight" in trained or part == "addresses"
    if part == "addresses":  # the NLL is of the class: four of them
        assert reports[-1].nll < math.log(4)
        assert reports[-1].kl_latent == 0
    else:
        assert reports[-1].nll > 10
    resumed = train(RunDirectory.open(run.path), DATASET, steps=62, resume=True)
    assert resumed.step == 62


def test_coarse_latents_come_to_count_from_nothing(tmp_path: Path) -> None:
    """In the first step only the finest latent counts: the bound is that of a model whose coarse one is free."""
    sections = {"model": RESIDUAL, "training": {"steps": 1, "metrics_every": 1}}
    rows = []
    for warmup in (0, 10):
        run = create_run(tmp_path / str(warmup), **sections, objective={"coarse_warmup": warmup})
        trainer = Trainer(run, DATASET, torch.device("cpu"))
        trainer.update(training_sampler(run.config, DATASET.train, "cpu"))
        rows.append(trainer.model.warmup)
        assert trainer.averaged.module.warmup == math.inf  # what is validated is a bound
    assert rows == [math.inf, 0.0]
