"""Who moves which weight, by how much, and how the rates rise and fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import synthetic
from tests.small_runs import DATASET, create_run
from vmacore.config import OptimiserConfig, load_recipe
from vmacore.episodes import training_sampler
from vmacore.errors import VmaError
from vmacore.models.base import GenerativeModel
from vmacore.runs.directory import MOMENTS
from vmacore.runs.weights import build_model
from vmacore.training.graphs import WARM_UP, Graphed
from vmacore.training.optimiser import Optimiser, rate_factor
from vmacore.training.trainer import Trainer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA is not available")


def _model(**fields: Any) -> GenerativeModel:
    return build_model(synthetic.config(model=fields))


def _give_gradients(model: nn.Module, seed: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=draw)
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_adam_by_default_is_as_torch_has_it() -> None:
    ours, theirs = _model(), _model()
    optimiser = Optimiser(ours, OptimiserConfig(weight_decay=0.01, beta2=0.99))
    adam = torch.optim.Adam(theirs.parameters(), lr=3e-4, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    for step in range(3):
        for model in (ours, theirs):
            _give_gradients(model, step)
        optimiser.set_rates(step, 3)
        optimiser.step()
        adam.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    state = optimiser.state()
    assert state.keys() == set(MOMENTS.values())
    for stored in state.values():
        assert list(stored) == [name for name, _ in ours.named_parameters()]
        assert all(bool(tensor.any()) for tensor in stored.values())


@pytest.mark.parametrize(
    ("warmup", "decay", "factors"),
    [
        (0, 0.0, [1.0] * 8),
        (3, 0.0, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]),
        (0, 0.5, [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]),
        (1, 0.5, [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]),
        (0, 1.0, [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        (7, 1.0, [0.125, 0.25, 0.375, 0.5, 0.5, 0.375, 0.25, 0.125]),
        (0, 0.01, [1.0] * 8),
    ],
)
def test_rates_rise_and_fall(warmup: int, decay: float, factors: list[float]) -> None:
    config = OptimiserConfig(learning_rate=1e-3, warmup=warmup, decay=decay)
    assert [rate_factor(config, step, 8) for step in range(8)] == pytest.approx(factors)
    assert rate_factor(config, 9, 8) == (0.0 if decay else 1.0)
    optimiser = Optimiser(_model(), config)
    for step, factor in enumerate(factors):
        optimiser.set_rates(step, 8)
        assert [group["lr"] for group in optimiser.adam.param_groups] == [pytest.approx(factor * 1e-3)]


def test_a_run_follows_its_schedule(tmp_path: Path) -> None:
    """The second of two updates, at which the rates are half, from the state that the first has left."""
    moved = []
    for decay in (0.0, 1.0):
        run = create_run(tmp_path / str(decay), optimiser={"decay": decay}, training={"steps": 2})
        trainer = Trainer(run, DATASET, torch.device("cpu"))
        sampler = training_sampler(run.config, DATASET.train, "cpu", 0)
        trainer.update(sampler)
        before = _weights(trainer.model)
        trainer.update(sampler)
        moved.append({name: weight - before[name] for name, weight in _weights(trainer.model).items()})
    for key, whole in moved[0].items():
        torch.testing.assert_close(moved[1][key], 0.5 * whole, rtol=1e-3, atol=1e-6)
    assert all(bool(step.any()) for step in moved[0].values())


def test_a_rate_that_is_recorded_is_a_tensor_that_stays() -> None:
    config = OptimiserConfig(warmup=3)
    optimisers = [Optimiser(_model(learned_slots=3), config, capturable=capturable) for capturable in (True, False)]
    rates = [group["lr"] for group in optimisers[0].adam.param_groups]
    assert len(rates) == 2
    for step in range(5):
        for optimiser in optimisers:
            optimiser.set_rates(step, 10)
        for group, rate in zip(optimisers[0].adam.param_groups, rates, strict=True):
            assert isinstance(rate, Tensor)
            assert group["lr"] is rate
            assert float(rate) == pytest.approx(optimisers[1].adam.param_groups[0]["lr"])
    constant = Optimiser(_model(), OptimiserConfig(), capturable=True)
    assert [group["lr"] for group in constant.adam.param_groups] == [3e-4]


@pytest.mark.parametrize("setting", ["optimiser.decay=1.5", "optimiser.warmup=-1", "optimiser.learning_rate=0"])
def test_schedules_that_cannot_be(setting: str) -> None:
    with pytest.raises(VmaError, match=setting.partition("=")[0]):
        load_recipe("glyphs").with_overrides([setting])


@needs_cuda
def test_a_graph_follows_the_schedule(tmp_path: Path) -> None:
    found = []
    for graphed in (False, True):
        training = {"cuda_graph": graphed, "precision": "highest", "steps": WARM_UP + 6}
        run = create_run(tmp_path / f"{graphed}", training=training, optimiser={"warmup": 2, "decay": 0.6})
        trainer = Trainer(run, DATASET, torch.device("cuda"))
        assert isinstance(trainer.advance, Graphed) == graphed
        sampler = training_sampler(run.config, DATASET.train, trainer.device, 0)
        found.append(torch.stack([trainer.update(sampler) for _ in range(WARM_UP + 6)]).cpu())
        rates = [float(group["lr"]) for group in trainer.optimiser.adam.param_groups]
        assert rates == [pytest.approx(3e-3 / (0.6 * (WARM_UP + 6)))]
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
