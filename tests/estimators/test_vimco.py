"""VIMCO as an estimator: how it draws, and the gradient of equations 8 to 10."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators import Addresses, estimator_for
from vmacore.estimators.vimco import Vimco
from vmacore.models.terms import LogTerms

B, K, S = 3, 4, 5


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def parts() -> dict[str, Tensor]:
    """Leaves with a gradient: logits of q(a|x) and p(a), and the three terms of the log weight."""
    leaves = {"q": (B, S), "p": (S,), "log_px": (B, K), "log_pz": (B, K), "log_qz": (B, K)}
    return {name: _random(*shape, seed=seed).requires_grad_() for seed, (name, shape) in enumerate(leaves.items())}


def _made(parts: dict[str, Tensor]) -> tuple[LogTerms, Addressing]:
    addressing = Addressing(parts["q"].log_softmax(1), parts["p"].log_softmax(0))
    return LogTerms(parts["log_px"], parts["log_pz"], parts["log_qz"], torch.zeros(B, K)), addressing


ADDRESS = torch.tensor([[0, 1, 1, 4], [2, 2, 2, 2], [3, 0, 4, 1]])


def test_the_configuration_names_it() -> None:
    estimator = estimator_for(ObjectiveConfig(estimator="vimco", samples=7))
    assert isinstance(estimator, Vimco)
    assert estimator.samples == 7


def test_it_draws_k_addresses_from_the_posterior(parts: dict[str, Tensor]) -> None:
    _, addressing = _made(parts)
    drawn = Vimco(K).draw(addressing, torch.Generator().manual_seed(3))
    assert drawn.address.shape == (B, K)
    assert torch.equal(drawn.address, addressing.draw(K, torch.Generator().manual_seed(3)))


def test_the_bound(parts: dict[str, Tensor]) -> None:
    log_terms, addressing = _made(parts)
    objective = Vimco(K).objective(log_terms, addressing, Addresses(ADDRESS))
    for b in range(B):
        weights = [
            math.exp(
                log_terms.log_px[b, k].item()
                + log_terms.log_pz[b, k].item()
                - log_terms.log_qz[b, k].item()
                + addressing.log_p[ADDRESS[b, k]].item()
                - addressing.log_q[b, ADDRESS[b, k]].item()
            )
            for k in range(K)
        ]
        assert objective.bound[b].item() == pytest.approx(math.log(sum(weights) / K))


def test_the_gradient_of_equations_8_to_10(parts: dict[str, Tensor]) -> None:
    log_terms, addressing = _made(parts)
    Vimco(K).objective(log_terms, addressing, Addresses(ADDRESS)).surrogate.sum().backward()
    with torch.no_grad():
        log_qa = addressing.log_q.gather(1, ADDRESS)
        w = (log_terms.log_weight + addressing.log_p[ADDRESS] - log_qa).exp()
        normalised = w / w.sum(1, keepdim=True)
        others = (w.sum(1, keepdim=True) - w) / (K - 1)
        signal = w.mean(1, keepdim=True).log() - others.log() - normalised
        # ∇ log softmax = one-hot − probabilities
        one_hot = torch.nn.functional.one_hot(ADDRESS, S).double()
        of_q = (signal[:, :, None] * (one_hot - addressing.log_q.exp()[:, None])).sum(1)
        of_p = (normalised[:, :, None] * (one_hot - addressing.log_p.exp())).sum((0, 1))
    expected = {"q": of_q, "p": of_p, "log_px": normalised, "log_pz": normalised, "log_qz": -normalised}
    for name, gradient in expected.items():
        torch.testing.assert_close(parts[name].grad, gradient, msg=f"gradient of {name}")
