"""Estimators without bias, over all addresses that can be drawn, against the exact gradient of their own objective."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.estimators import toy
from tests.estimators.toy import B, K, S
from vmacore.addressing import Addressing
from vmacore.estimators import Addresses, Estimator
from vmacore.estimators.enumeration import Enumeration
from vmacore.estimators.importance import Importance
from vmacore.estimators.nvil import Nvil
from vmacore.estimators.rloo import Rloo
from vmacore.estimators.top_k import TopK
from vmacore.estimators.vimco import Vimco
from vmacore.models.terms import LogTerms

TOLERANCE = 1e-10


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("geometric", [False, True], ids=["arithmetic", "geometric"])
def test_vimco_has_the_gradient_of_the_k_sample_bound(geometric: bool, seed: int) -> None:
    of = toy.leaves(seed)
    expected = toy.over_all_tuples(Vimco(K, geometric=geometric), of)
    assert toy.distance(expected, toy.gradient(toy.bound(of), of)) < TOLERANCE
    assert toy.distance(expected, toy.gradient(toy.elbo(of), of)) > 0.1  # another objective


@pytest.mark.parametrize("seed", [0, 1])
def test_rloo_has_the_gradient_of_the_elbo(seed: int) -> None:
    of = toy.leaves(seed)
    expected = toy.over_all_tuples(Rloo(K), of)
    assert toy.distance(expected, toy.gradient(toy.elbo(of), of)) < TOLERANCE
    assert toy.distance(expected, toy.gradient(toy.bound(of), of)) > 0.1


@pytest.mark.parametrize("samples", [1, 2])
def test_nvil_has_the_gradient_of_the_elbo(samples: int) -> None:
    """Its baseline sees the other targets' draws, so the draws of all targets are enumerated together."""
    of, estimator = toy.leaves(), Nvil(samples)
    expected = {name: torch.zeros_like(leaf) for name, leaf in of.items()}
    both = toy.addressing(of)
    for joint in itertools.product(toy.tuples(samples), repeat=B):
        address = torch.stack(joint)
        probability = both.log_q.gather(1, address).sum().exp().detach()
        one = toy.expected_gradient(estimator, of, Addresses(address), probability.expand(B))
        expected = {name: expected[name] + one[name] for name in of}
    assert toy.distance(expected, toy.gradient(toy.elbo(of), of)) < TOLERANCE


def test_enumeration_has_the_gradient_of_the_elbo() -> None:
    of = toy.leaves()
    both = toy.addressing(of)
    drawn = Enumeration().draw(both)
    objective = Enumeration().objective(toy.at(of, drawn.address), both, drawn)
    assert float(objective.bound.sum().detach()) == pytest.approx(float(toy.elbo(of).detach()))
    expected = toy.gradient(objective.surrogate.sum(), of)
    assert toy.distance(expected, toy.gradient(toy.elbo(of), of)) < TOLERANCE


@pytest.mark.parametrize("samples", [2, 3])
def test_top_k_has_the_gradient_of_the_elbo(samples: int) -> None:
    """Every slot of the tail that the estimator can draw, by its probability within the tail."""
    of, estimator = toy.leaves(), TopK(samples)
    both = toy.addressing(of)
    top = both.log_q.topk(samples - 1).indices
    seen: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
    noise = torch.Generator().manual_seed(0)
    for _ in range(500):
        drawn = estimator.draw(both, noise)
        assert drawn.share is not None
        assert torch.equal(drawn.address[:, :-1], top)
        for b in range(B):
            seen[b, int(drawn.address[b, -1])] = drawn.address[b], drawn.share[b]
    tails = [[slot for target, slot in seen if target == b] for b in range(B)]
    assert [len(tail) for tail in tails] == [S - samples + 1] * B

    address = torch.stack([seen[b, tails[b][n]][0] for n in range(len(tails[0])) for b in range(B)])
    share = torch.stack([seen[b, tails[b][n]][1] for n in range(len(tails[0])) for b in range(B)])
    log_q = both.log_q.detach().repeat(len(tails[0]), 1)
    outside = 1 - log_q.gather(1, address[:, :-1]).exp().sum(1)
    probability = log_q.gather(1, address[:, -1:])[:, 0].exp() / outside
    assert probability.sum() == pytest.approx(B)
    expected = toy.expected_gradient(estimator, of, Addresses(address, share), probability)
    assert toy.distance(expected, toy.gradient(toy.elbo(of), of)) < TOLERANCE

    bounds = estimator.objective(toy.at(of, address), Addressing(log_q, both.log_p), Addresses(address, share)).bound
    assert float((probability * bounds).sum().detach()) == pytest.approx(float(toy.elbo(of).detach()))


def test_top_k_draws_the_tail_by_its_probability() -> None:
    log_q = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64).log().expand(40_000, 4)
    drawn = TopK(2).draw(Addressing(log_q, log_q[0]), torch.Generator().manual_seed(0))
    assert bool((drawn.address[:, 0] == 1).all())
    shares = torch.bincount(drawn.address[:, 1], minlength=4) / 40_000
    torch.testing.assert_close(shares.double(), torch.tensor([1, 0, 2, 3]).double() / 6, atol=0.01, rtol=0)
    assert drawn.share is not None
    torch.testing.assert_close(drawn.share[0], torch.tensor([0.4, 0.6], dtype=torch.float64))


def test_top_k_enumerates_where_there_are_no_more_slots_than_samples() -> None:
    of = toy.leaves()
    both = toy.addressing(of)
    for samples in (S, S + 3):
        drawn = TopK(samples).draw(both)
        assert sorted(drawn.address[0].tolist()) == list(range(S))
        found = toy.gradient(TopK(samples).objective(toy.at(of, drawn.address), both, drawn).surrogate.sum(), of)
        assert toy.distance(found, toy.gradient(toy.elbo(of), of)) < TOLERANCE


def test_top_k_where_the_tail_has_no_probability_left() -> None:
    q = torch.tensor([[0.0, -900.0, -2000.0, -3000.0]], dtype=torch.float64).requires_grad_()
    both = Addressing(q.log_softmax(1), torch.zeros(4, dtype=torch.float64).log_softmax(0))
    drawn = TopK(3).draw(both, torch.Generator().manual_seed(0))
    terms = torch.tensor([[-80.0, -90.0, -70.0]], dtype=torch.float64)
    objective = TopK(3).objective(LogTerms(terms, 0 * terms, 0 * terms, terms), both, drawn)
    assert float(objective.bound.detach()) == pytest.approx(-80 - torch.tensor(4.0).log().item())
    objective.surrogate.sum().backward()
    assert q.grad is not None
    assert bool(q.grad.isfinite().all())


def test_the_plain_bound_is_its_own_surrogate() -> None:
    log_px = torch.tensor([[-3.0, -1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    both = Addressing(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    estimator: Estimator = Importance(3)
    drawn = estimator.draw(both)
    assert drawn.address.tolist() == [[0, 0, 0]]
    objective = estimator.objective(LogTerms(log_px, zero, zero, zero), both, drawn)
    expected = log_px.exp().mean().log()
    assert float(objective.bound.detach()) == pytest.approx(float(expected.detach()))
    (found,) = torch.autograd.grad(objective.surrogate.sum(), log_px)
    torch.testing.assert_close(found, log_px.detach().softmax(1))
