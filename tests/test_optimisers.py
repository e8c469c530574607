"""Who moves which weight, by how much, and how the rates rise and fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import synthetic
from tests.small_runs import DATASET, create_run
from vmacore import checkpoint as ckpt
from vmacore.config import Config, OptimiserConfig, load_recipe
from vmacore.errors import VmaError
from vmacore.graphs import WARM_UP, Graphed
from vmacore.loading import build_model
from vmacore.models.base import GenerativeModel
from vmacore.optimisers import Matrix, Optimiser, rate_factor
from vmacore.samplers import training_sampler
from vmacore.trainer import Trainer
from vmacore.training import prepare

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA is not available")

MUON = OptimiserConfig(name="muon", matrix_rate=0.01, learning_rate=1e-3)
WIDE = (16, 16, 16, 20, 20, 20)  # maps, so that kernels are matrices too


def _model(**fields: Any) -> GenerativeModel:
    return build_model(synthetic.config(model={"channels": WIDE, **fields}))


def _gradient(shape: torch.Size, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A gradient of a weight's shape [A, …], and U [A, r] and V [B, r] of the matrix U S Vᵀ [A, B] that it is."""
    A, B = shape[0], shape[1:].numel()
    r = min(A, B)
    u, v = (torch.linalg.qr(torch.randn(side, r, generator=draw))[0] for side in (A, B))
    return ((u * torch.linspace(0.1, 2, r)) @ v.T).view(shape), u, v


def _give_gradients(model: nn.Module, seed: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=draw)
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_muon_moves_matrices_and_adam_the_rest() -> None:
    model = _model(learned_slots=20)
    model.register_module("extra", nn.Embedding(20, 20))
    optimiser = Optimiser(model, MUON)
    assert optimiser.matrices.keys() | optimiser.rest.keys() == dict(model.named_parameters()).keys()
    assert not optimiser.matrices.keys() & optimiser.rest.keys()
    for name, matrix in optimiser.matrices.items():
        A, B = matrix.parameter.shape
        assert (len(matrix.weight), matrix.weight.numel()) == (A, A * B), name
        assert matrix.parameter.data_ptr() == matrix.weight.data_ptr()
        assert min(A, B) >= 16
    assert {"key_network.pyramid.convolutions.1.weight", "key_network.head.0.weight"} <= optimiser.matrices.keys()
    kept = {"query_point", "learned_memory.slots", "extra.weight", "key_network.pyramid.convolutions.0.weight"}
    assert kept <= optimiser.rest.keys()
    assert all(
        weight.ndim < 2 or name in kept or min(weight.flatten(1).shape) < 16 for name, weight in optimiser.rest.items()
    )


def test_the_step_of_a_matrix_is_orthogonal() -> None:
    model, draw = _model(), torch.Generator().manual_seed(0)
    optimiser, before = Optimiser(model, MUON), _weights(model)
    _give_gradients(model, 0)
    bases = {}
    for name, matrix in optimiser.matrices.items():
        matrix.weight.grad, *bases[name] = _gradient(matrix.weight.shape, draw)
    optimiser.step()
    assert sum(before[name].ndim == 4 for name in bases) > 10
    for name, (u, v) in bases.items():
        step = (before[name] - optimiser.matrices[name].weight.detach()).flatten(1)
        step /= MUON.matrix_rate * 0.2 * max(step.shape) ** 0.5
        found = u.T @ step @ v  # the identity, were the nearest orthogonal matrix found exactly
        assert 0.5 < float(found.diagonal().min()) < float(found.diagonal().max()) < 1.3, name
        torch.testing.assert_close(found, found.diagonal().diag(), rtol=0, atol=0.05)
        torch.testing.assert_close(u @ found @ v.T, step, rtol=0, atol=0.05)


def test_a_step_does_not_depend_on_how_kernels_and_gradients_lie_in_memory() -> None:
    moved = []
    formats = torch.contiguous_format, torch.channels_last
    for of_weights in formats:
        for of_gradients in formats:
            model = _model()
            for weight in model.parameters():
                if weight.ndim == 4:
                    weight.data = weight.data.contiguous(memory_format=of_weights)
            optimiser, before = Optimiser(model, MUON), _weights(model)
            for seed in (0, 1):
                _give_gradients(model, seed)
                for weight in model.parameters():
                    if weight.ndim == 4 and weight.grad is not None:
                        weight.grad = weight.grad.contiguous(memory_format=of_gradients)
                optimiser.step()
            after = _weights(model)
            moved.append(({name: before[name] - after[name] for name in optimiser.matrices}, optimiser.state()))
    kernel = "key_network.pyramid.convolutions.1.weight"
    for steps, state in moved[1:]:
        for name, step in steps.items():
            torch.testing.assert_close(step, moved[0][0][name], rtol=0, atol=0.05 * float(step.abs().max()))
            momenta = state[ckpt.MOMENTUM][name], moved[0][1][ckpt.MOMENTUM][name]
            torch.testing.assert_close(*momenta, rtol=1e-6, atol=1e-8)
    assert torch.equal(moved[0][0][kernel], moved[1][0][kernel])  # the weights' format alone decides on the columns


def test_a_matrix_and_back() -> None:
    weight = nn.Parameter(torch.randn(3, 4, 5, 6).contiguous(memory_format=torch.channels_last))
    matrix, tensor = Matrix(weight), torch.randn(3, 4, 5, 6)
    torch.testing.assert_close(matrix.folded(matrix.flat(tensor)), tensor, rtol=0, atol=0)
    torch.testing.assert_close(matrix.flat(weight.detach()), matrix.parameter.detach(), rtol=0, atol=0)
    with torch.no_grad():
        matrix.parameter[1, 0] = 7
    assert weight[1, 0, 0, 0] == 7


def test_momentum_is_kept_in_the_shape_of_the_weight() -> None:
    model = _model()
    optimiser = Optimiser(model, MUON)
    assert all(not tensor.any() for stored in optimiser.state().values() for tensor in stored.values())
    gradients = []
    for seed in (0, 1):
        gradients.append(_give_gradients(model, seed))
        optimiser.step()
        optimiser.zero_grad()
        assert all(weight.grad is None for weight in model.parameters())
    state = optimiser.state()
    assert state.keys() == {*ckpt.MOMENTS.values(), ckpt.MOMENTUM}
    assert state[ckpt.MOMENTUM].keys() == optimiser.matrices.keys()
    for file in ckpt.MOMENTS.values():
        assert state[file].keys() == optimiser.rest.keys()
    for name, momentum in state[ckpt.MOMENTUM].items():
        expected = 0.05 * (0.95 * gradients[0][name] + gradients[1][name])
        torch.testing.assert_close(momentum, expected, rtol=1e-5, atol=1e-7)


def test_each_decay_is_of_its_own_weights() -> None:
    for fields in ({"weight_decay": 0.1}, {"matrix_decay": 0.5}):
        model = _model()
        optimiser = Optimiser(model, MUON.model_copy(update=fields))
        before = _weights(model)
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        optimiser.step()
        for name, weight in model.named_parameters():
            share = 1 - 0.01 * 0.5 if name in optimiser.matrices and "matrix_decay" in fields else 1.0
            if name in optimiser.matrices or "matrix_decay" in fields:
                torch.testing.assert_close(weight.detach(), share * before[name], rtol=1e-6, atol=0)
            else:
                assert torch.equal(weight, before[name]) == (not before[name].any()), name


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
    assert state.keys() == set(ckpt.MOMENTS.values())
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
    config = MUON.model_copy(update={"warmup": warmup, "decay": decay})
    assert [rate_factor(config, step, 8) for step in range(8)] == pytest.approx(factors)
    assert rate_factor(config, 9, 8) == (0.0 if decay else 1.0)
    optimiser = Optimiser(_model(), config)
    assert optimiser.muon is not None
    for step, factor in enumerate(factors):
        optimiser.set_rates(step, 8)
        assert [group["lr"] for group in optimiser.adam.param_groups] == [pytest.approx(factor * 1e-3)]
        assert [group["lr"] for group in optimiser.muon.param_groups] == [pytest.approx(factor * 0.01)]


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_run_follows_its_schedule(tmp_path: Path, name: str) -> None:
    """The second of two updates, at which the rates are half, from the state that the first has left."""
    moved = []
    for decay in (0.0, 1.0):
        optimiser = {"name": name, "decay": decay}
        run = create_run(tmp_path / str(decay), optimiser=optimiser, model={"channels": WIDE}, training={"steps": 2})
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
    with pytest.raises(ValueError, match="cannot be recorded"):
        Optimiser(_model(), MUON, capturable=True)


def test_a_model_without_matrices() -> None:
    with pytest.raises(VmaError, match=r"16 by 16 or more: set optimiser\.name"):
        Optimiser(build_model(synthetic.config()), MUON)


def test_configurations() -> None:
    plain = load_recipe("glyphs")
    assert (plain.optimiser.name, plain.optimiser.warmup, plain.optimiser.decay) == ("adam", 0, 0.0)
    muon = plain.with_overrides(["optimiser.name=muon", "optimiser.matrix_decay=0.1", "optimiser.decay=0.3"])
    assert Config.from_toml(muon.to_toml()) == muon
    for settings, said in (
        (["optimiser.matrix_decay=0.1"], "matrix_decay is Muon's"),
        (["optimiser.name=sgd"], "'adam' or 'muon'"),
        (["optimiser.decay=1.5"], "optimiser.decay"),
        (["optimiser.warmup=-1"], "optimiser.warmup"),
        (["optimiser.matrix_rate=0"], "optimiser.matrix_rate"),
    ):
        with pytest.raises(VmaError, match=said):
            plain.with_overrides(settings)


def test_a_checkpoint_of_the_other_optimiser_is_not_resumed(tmp_path: Path) -> None:
    sections: dict[str, dict[str, dict[str, Any]]]
    sections = {name: {"model": {"channels": WIDE}, "optimiser": {"name": name}} for name in ("adam", "muon")}
    configs = {name: prepare(synthetic.config(**fields), DATASET) for name, fields in sections.items()}
    for name, other, said in (
        ("adam", "muon", r"momentum.safetensors is missing or damaged"),
        ("muon", "adam", r"first-moment.safetensors: \S+ is missing or of another shape"),
    ):
        run = create_run(tmp_path / name, **sections[name])
        Trainer(run, DATASET, torch.device("cpu")).save()
        Trainer(run, DATASET, torch.device("cpu")).restore()
        with pytest.raises(VmaError, match=said):
            Trainer(run.with_config(configs[other]), DATASET, torch.device("cpu")).restore()


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


@needs_cuda
def test_muon_records_no_graph(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", model={"channels": WIDE}, optimiser={"name": "muon", "decay": 0.5})
    trainer = Trainer(run, DATASET, torch.device("cuda"))
    assert not isinstance(trainer.advance, Graphed)
    sampler = training_sampler(run.config, DATASET.train, trainer.device, 0)
    assert all(bool(trainer.update(sampler).isfinite().all()) for _ in range(WARM_UP + 2))
