"""Gumbel-softmax: the gradient of the relaxed bound, its limit, and how far both forms are from the K-sample bound."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from torch import Tensor

from tests.estimators import toy
from vmacore.addressing import Addressing
from vmacore.estimators import Estimator
from vmacore.estimators.gumbel import Gumbel
from vmacore.estimators.vimco import Vimco
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms
from vmacore.objectives import importance_bound

S, D, K = 3, 4, 2


class _Bump(torch.nn.Module):
    """Slots in R^D and x ∈ R^D: log p(x|m) falls with the distance between x and a curved image of m. No z."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.weight = torch.nn.Parameter(torch.randn(D, D, dtype=torch.float64, generator=draw))

    def log_terms(
        self, targets: Tensor, memory: EncodedMemory, address: Tensor, generator: None, pathwise: bool
    ) -> LogTerms:
        log_px = -((targets[:, None] - (memory.slots @ self.weight).tanh()[address]) ** 2).sum(2)
        return LogTerms(log_px, torch.zeros_like(log_px), torch.zeros_like(log_px), torch.zeros_like(log_px)[None])


def _parts(targets: int) -> tuple[_Bump, dict[str, Tensor], Tensor]:
    draw = torch.Generator().manual_seed(0)
    leaves = {
        "q": torch.randn(1, S, dtype=torch.float64, generator=draw).requires_grad_(),
        "p": torch.randn(S, dtype=torch.float64, generator=draw).requires_grad_(),
        "slots": torch.randn(S, D, dtype=torch.float64, generator=draw).requires_grad_(),
    }
    x = torch.randn(1, D, dtype=torch.float64, generator=draw).expand(targets, D)
    return _Bump(), leaves, x


def _objective(
    estimator: Estimator, model: _Bump, leaves: dict[str, Tensor], x: Tensor, seed: int = 1
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The mean surrogate, the bounds [B], and the weights y [B, K, S] of a relaxed draw."""
    both = Addressing(leaves["q"].log_softmax(1).expand(len(x), S), leaves["p"].log_softmax(0))
    drawn = estimator.draw(both, torch.Generator().manual_seed(seed))
    log_terms = drawn.terms(
        cast(GenerativeModel, model), x, EncodedMemory(leaves["slots"], leaves["slots"], leaves["p"])
    )
    objective = estimator.objective(log_terms, both, drawn)
    return objective.surrogate.mean(), objective.bound, drawn.relaxed


def _log_w(model: _Bump, leaves: dict[str, Tensor], x: Tensor) -> Tensor:
    log_px = -((x[0] - (leaves["slots"] @ model.weight).tanh()) ** 2).sum(1)
    return log_px + leaves["p"].log_softmax(0) - leaves["q"][0].log_softmax(0)


def _exact_gradient(model: _Bump, leaves: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Of the expectation of the K-sample bound over all pairs of addresses."""
    log_w, log_q = _log_w(model, leaves, x), leaves["q"][0].log_softmax(0)
    pairs = torch.cartesian_prod(torch.arange(S), torch.arange(S))
    bound = (log_q[pairs].sum(1).exp() * importance_bound(log_w[pairs])).sum()
    return toy.gradient(bound, leaves)


def test_the_pathwise_gradient_is_that_of_the_relaxed_bound_for_every_noise() -> None:
    model, leaves, x = _parts(5)
    estimator = Gumbel(K, temperature=0.7)
    found = toy.gradient(_objective(estimator, model, leaves, x)[0], leaves)
    for name, leaf in leaves.items():
        for index in range(leaf.numel()):
            values = []
            for shift in (1e-6, -1e-6):
                moved = {other: one.detach().clone() for other, one in leaves.items()}
                moved[name].view(-1)[index] += shift
                values.append(float(_objective(estimator, model, moved, x)[0].detach()))
            assert float(found[name].view(-1)[index]) == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-7), name


def test_contents_are_mixed_and_the_address_terms_with_them() -> None:
    model, leaves, x = _parts(3)
    _, bound, y = _objective(Gumbel(K, temperature=0.7), model, leaves, x)
    assert y is not None
    assert y.shape == (3, K, S)
    torch.testing.assert_close(y.sum(2), torch.ones(3, K, dtype=torch.float64))
    log_ratio = leaves["p"].log_softmax(0) - leaves["q"][0].log_softmax(0)
    for b in range(3):
        weights = []
        for k in range(K):
            content = sum(y[b, k, a] * leaves["slots"][a] for a in range(S))
            assert isinstance(content, Tensor)
            log_px = -((x[b] - (content @ model.weight).tanh()) ** 2).sum()
            weights.append(math.exp(float((log_px + (y[b, k] * log_ratio).sum()).detach())))
        assert float(bound[b].detach()) == pytest.approx(math.log(sum(weights) / K))


def test_straight_through_draws_of_q_and_gives_the_bound_itself() -> None:
    model, leaves, x = _parts(50_000)
    with torch.no_grad():
        _, bound, y = _objective(Gumbel(K, temperature=0.7, straight_through=True), model, leaves, x)
        assert y is not None
        assert bool(((y == 0) | (y == 1)).all())
        torch.testing.assert_close(y.mean((0, 1)), leaves["q"][0].softmax(0), atol=0.006, rtol=0)
        torch.testing.assert_close(bound, importance_bound(_log_w(model, leaves, x)[y.argmax(2)]))


def _bias(estimator: Estimator) -> tuple[float, float]:
    """Distance of the mean gradient in the logits of q from the exact one, and the standard error of that mean."""
    model, leaves, x = _parts(25_000)
    exact = _exact_gradient(model, leaves, x)["q"]
    parts = torch.stack(
        [toy.gradient(_objective(estimator, model, leaves, x, seed)[0], leaves)["q"] for seed in range(10)]
    )
    return float((parts.mean(0) - exact).norm() / exact.norm()), float(parts.std(0).norm() / 10**0.5 / exact.norm())


def test_the_bias_of_the_relaxed_gradient_goes_with_the_temperature() -> None:
    warm, warm_error = _bias(Gumbel(K, temperature=1.0))
    cold, cold_error = _bias(Gumbel(K, temperature=0.1))
    assert warm > 10 * warm_error
    assert cold < 0.25 * warm
    assert cold_error < 0.1


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_straight_through_is_biased_where_the_same_check_finds_vimco_unbiased(temperature: float) -> None:
    bias, error = _bias(Gumbel(K, temperature, straight_through=True))
    assert bias > 10 * error
    bias, error = _bias(Vimco(K))
    assert bias < 3 * error < 0.1


def test_the_relaxed_bound_becomes_the_bound() -> None:
    model, leaves, x = _parts(500)
    gaps = []
    with torch.no_grad():
        for temperature in (0.5, 0.05, 0.005):
            _, soft, _ = _objective(Gumbel(K, temperature), model, leaves, x)
            _, hard, _ = _objective(Gumbel(K, temperature, straight_through=True), model, leaves, x)
            gaps.append(float((soft - hard).abs().mean()))
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2] > 0
