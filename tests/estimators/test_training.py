"""Every estimator trains the whole model, and resumes to the same bits: none has a state of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from vmacore.config import ObjectiveConfig
from vmacore.estimators import ESTIMATORS, estimator_for
from vmacore.estimators.importance import Importance
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.weights import build_model, load_weights
from vmacore.training.loop import StepReport, prepare, train

DATASET = synthetic.dataset()


def _run(path: Path, estimator: str, **model: Any) -> RunDirectory:
    sections: dict[str, dict[str, Any]] = {
        "objective": {"estimator": estimator, "samples": 3},
        "training": {"steps": 6, "metrics_every": 3, "checkpoint_every": 3},
        "model": model,
    }
    return RunDirectory.create(path, prepare(synthetic.config(**sections), DATASET))


def _weights(run: RunDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.checkpoint(6).glob("*.safetensors")}


@pytest.mark.parametrize("name", ESTIMATORS.names())
def test_it_trains_every_weight_and_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    straight, stopped = _run(tmp_path / "a", name), _run(tmp_path / "b", name)
    reports: list[StepReport] = []
    train(straight, DATASET, on_step=reports.append)
    train(stopped, DATASET, steps=3)
    train(RunDirectory.open(stopped.path), DATASET, steps=6, resume=True)
    assert _weights(straight) == _weights(stopped)
    assert len(_weights(straight)) == 4

    for report in reports:
        assert report.elbo == pytest.approx(-(report.reconstruction + report.kl_address + report.kl_latent), rel=1e-5)
        assert 30 < report.nll < 70  # 64 fair coins are 44 nats
        assert report.reconstruction < 70
    model, start = build_model(straight.config), build_model(straight.config)
    load_weights(model, straight.checkpoint(6) / WEIGHTS["raw"])
    before = dict(start.named_parameters())
    for weight, value in model.named_parameters():
        assert float((value - before[weight]).abs().max().detach()) > 1e-4, weight


@pytest.mark.parametrize("network", ["convolutional", "fully-connected"])
@pytest.mark.parametrize("name", ESTIMATORS.names())
def test_learned_slots_have_a_gradient(name: str, network: str) -> None:
    of_network = {"layers": (24, 16), "slot": 10} if network == "fully-connected" else {}
    model_keys = {"network": network, "learned_slots": 5, **of_network}
    config = synthetic.config(model=model_keys, objective={"estimator": name, "samples": 3})
    model, estimator = build_model(config), estimator_for(config.objective)
    assert model.learned_memory is not None
    targets, noise = DATASET.train.images[:4, None].float(), torch.Generator().manual_seed(0)
    memory = model.read(model.learned_memory())
    addressing = model.address(targets, memory)
    drawn = estimator.draw(addressing, noise)
    objective = estimator.objective(drawn.terms(model, targets, memory, noise), addressing, drawn)
    objective.surrogate.mean().backward()
    found = model.learned_memory.slots.grad
    assert found is not None
    assert bool((found.flatten(1).abs().amax(1) > 0).all())


@pytest.mark.parametrize("samples", [1, 3])
def test_a_model_that_draws_no_address_has_the_plain_bound(samples: int, tmp_path: Path) -> None:
    assert isinstance(estimator_for(ObjectiveConfig(samples=samples), addressed=False), Importance)
    config = synthetic.config(objective={"samples": samples}, model={"system": "vae"})
    summary = train(RunDirectory.create(tmp_path / "run", prepare(config, DATASET)), DATASET)
    assert summary.kl_address == 0
    assert 30 < summary.nll < 70
