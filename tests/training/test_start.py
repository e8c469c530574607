"""A new run that starts from the weights of another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small_runs import DATASET, create_run
from vmacore.errors import VmaError
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.finding import Location, find_run
from vmacore.runs.weights import read_tensors
from vmacore.training.loop import prepare, train
from vmacore.training.start import Start

RESIDUAL: dict[str, Any] = {
    "network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2), "tied": True,
}  # fmt: skip
STILL = {"training": {"steps": 1}, "optimiser": {"learning_rate": 1e-20}}  # shows the weights it starts from


def trained(path: Path, **sections: Any) -> Location:
    train(create_run(path, **sections), DATASET)
    return find_run(path, runs_dir=path.parent)


def weights(location: Location) -> dict[str, Tensor]:
    return read_tensors(location.path / WEIGHTS["averaged"])


def started(path: Path, start: Start, **sections: Any) -> Location:
    run = create_run(path, **{**STILL, **sections})
    train(RunDirectory(path, prepare(run.config, DATASET, start)), DATASET, start=start)
    return find_run(path, runs_dir=path.parent)


def test_the_weights_are_those_read_at_first(tmp_path: Path) -> None:
    """The run that they come from may be trained on meanwhile, and its checkpoint be gone."""
    first = trained(tmp_path / "first", model=RESIDUAL)
    theirs, start = weights(first), Start.of(first)
    shutil.rmtree(tmp_path / "first")
    found = weights(started(tmp_path / "run", start, model=RESIDUAL))
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-15, msg=name)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({**RESIDUAL, "latent": 5}, r"another model.latent: 4, not 5"),
        ({**RESIDUAL, "stages": (6, 7)}, "another model.stages"),
        ({**RESIDUAL, "normalised_embedding": True}, "another model.normalised_embedding"),
        ({"system": "vae"}, "another model.system"),
    ],
)
def test_what_cannot_be_taken(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    start = Start.of(trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1}))
    with pytest.raises(VmaError, match=message):
        prepare(create_run(tmp_path / "run", model=model).config, DATASET, start)


def test_no_layers_stand_for_one_at_each_size(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1})
    left_open = {"latent_layers": (1,) * len(RESIDUAL["latent_maps"])}
    run = started(tmp_path / "run", Start.of(first), model={**RESIDUAL, **left_open})
    assert run.config.init == "first, step 1"


def test_a_run_killed_before_its_weights_were_stored_is_not_resumed(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1})
    run = create_run(tmp_path / "run", model=RESIDUAL)
    run.with_config(Start.of(first).recorded(run.config))
    with pytest.raises(VmaError, match="start a new run"):
        train(RunDirectory.open(run.path), DATASET, resume=True)
