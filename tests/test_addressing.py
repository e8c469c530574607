"""Similarities, address distributions and exact drawing against plain formulae and torch.distributions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from vmacore.addressing import (
    Addressing,
    address_posterior,
    address_prior,
    precise,
    query_side,
    similarities,
    slot_side,
)


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _plain(similarity: str, key: Tensor, query: Tensor) -> float:
    product = sum(float(e_a) * float(e_x) for e_a, e_x in zip(key, query, strict=True))
    if similarity == "inner":
        return product
    product /= math.sqrt(sum(float(e_a) ** 2 for e_a in key))
    if similarity == "cosine":
        product /= math.sqrt(sum(float(e_x) ** 2 for e_x in query))
    return product


@pytest.mark.parametrize("similarity", ["normalised", "inner", "cosine"])
def test_similarities_and_their_posterior(similarity: str) -> None:
    keys, queries = 3 * _normal(5, 4), 2 * _normal(3, 4, seed=1)
    expected = torch.tensor(
        [[_plain(similarity, key, query) for key in keys] for query in queries], dtype=torch.float64
    )
    torch.testing.assert_close(similarities(keys, queries, similarity), expected)
    posterior = Categorical(logits=expected)
    torch.testing.assert_close(address_posterior(keys, queries, similarity), posterior.logits)


def test_the_papers_own_similarity_is_the_default() -> None:
    keys, queries = _normal(5, 4), _normal(3, 4, seed=1)
    assert torch.equal(address_posterior(keys, queries), address_posterior(keys, queries, "normalised"))
    assert torch.equal(similarities(keys, queries), similarities(keys, queries, "normalised"))
    assert torch.equal(slot_side(keys), slot_side(keys, "normalised"))
    assert torch.equal(query_side(queries), query_side(queries, "normalised"))
    assert torch.equal(address_prior(keys, queries[0]), address_prior(keys, queries[0], "normalised"))
    # Only the memory side is normalised: the scale of keys does not matter, that of queries does.
    torch.testing.assert_close(address_posterior(7 * keys, queries), address_posterior(keys, queries))
    assert not torch.allclose(address_posterior(keys, 7 * queries), address_posterior(keys, queries))


@pytest.mark.parametrize("similarity", ["normalised", "inner", "cosine"])
def test_learned_prior(similarity: str) -> None:
    keys, point = 3 * _normal(5, 4), _normal(4, seed=1)
    expected = torch.tensor([_plain(similarity, key, point) for key in keys], dtype=torch.float64)
    torch.testing.assert_close(address_prior(keys, point, similarity), Categorical(logits=expected).logits)


def test_flat_prior() -> None:
    log_p = address_prior(_normal(5, 4).float(), None)
    assert log_p.dtype == torch.float32
    torch.testing.assert_close(log_p, torch.full((5,), -math.log(5)))


def test_divergence_and_entropies() -> None:
    log_q, log_p = (4 * _normal(6, 9)).log_softmax(1), _normal(9, seed=1).log_softmax(0)
    addressing = Addressing(log_q, log_p)
    q, p = Categorical(logits=log_q), Categorical(logits=log_p)
    torch.testing.assert_close(addressing.kl(), kl_divergence(q, p))
    torch.testing.assert_close(addressing.posterior_entropy(), q.entropy())
    torch.testing.assert_close(addressing.prior_entropy(), p.entropy())


@pytest.mark.parametrize("score", [-200.0, -1e30, -math.inf])
def test_a_slot_whose_probability_underflows(score: float) -> None:
    logits = torch.tensor([[0.0, 1.0, score]], requires_grad=True)
    prior = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    addressing = Addressing(logits.log_softmax(1), prior.log_softmax(0))
    q = torch.tensor([0.0, 1.0]).softmax(0)
    expected = (q * (q.log() - prior.detach().log_softmax(0)[:2])).sum()[None]
    kl = addressing.kl()
    torch.testing.assert_close(kl.detach(), expected)
    torch.testing.assert_close(addressing.posterior_entropy().detach(), -(q * q.log()).sum()[None])

    kl.sum().backward()
    # dKL/dlogit_i = q_i (log q_i − log p_i − KL)
    gradient = q * (q.log() - prior.detach().log_softmax(0)[:2] - expected)
    torch.testing.assert_close(logits.grad, torch.tensor([[*gradient.tolist(), 0.0]]))
    torch.testing.assert_close(prior.grad, prior.detach().softmax(0) - torch.tensor([*q.tolist(), 0.0]))


def test_a_divergence_that_is_not_a_number_is_not_hidden() -> None:
    addressing = Addressing(torch.full((1, 3), math.nan), torch.zeros(3).log_softmax(0))
    assert bool(addressing.kl().isnan().all())


def _fits(address: Tensor, probability: Tensor) -> bool:
    """Whether a chi-square test finds nothing against draws from `probability` (and none where it is zero)."""
    counts = address.flatten().bincount(minlength=len(probability)).double()
    possible = probability > 0
    expected = (probability[possible] / probability[possible].sum() * address.numel()).numpy()
    return bool(counts[~possible].sum() == 0 and chisquare(counts[possible].numpy(), expected).pvalue > 1e-3)


def test_draws_follow_the_posterior() -> None:
    log_q = (1.5 * _normal(3, 8)).float().log_softmax(1)
    address = Addressing(log_q, log_q[0]).draw(100_000, torch.Generator().manual_seed(0))
    assert address.shape == (3, 100_000)
    assert address.dtype == torch.int64
    for row in range(3):
        assert _fits(address[row], log_q[row].double().exp())
        assert not _fits(address[row], log_q[(row + 1) % 3].double().exp())  # the test can tell


def test_draws_follow_the_posterior_over_many_slots() -> None:
    log_q = _normal(2, 5_000).float().log_softmax(1)
    address = Addressing(log_q, log_q[0]).draw(200_000, torch.Generator().manual_seed(1))
    for row in range(2):
        assert _fits(address[row], log_q[row].double().exp())


@pytest.mark.parametrize("slots", [4, 5_000])
def test_slots_of_probability_zero_are_never_drawn(slots: int) -> None:
    log_q = torch.full((2, slots), -math.inf)
    log_q[0, 1:3] = math.log(0.5)  # zeros at both ends
    log_q[1, [0, slots - 1]] = math.log(0.5)  # and between
    address = Addressing(log_q, log_q[0]).draw(50_000, torch.Generator().manual_seed(0))
    assert set(address[0].tolist()) == {1, 2}
    assert set(address[1].tolist()) == {0, slots - 1}


@pytest.mark.parametrize("uniform", [0.0, 1.0])
def test_the_ends_of_the_unit_interval(monkeypatch: pytest.MonkeyPatch, uniform: float) -> None:
    """At 0, and at 1, which u·total can round to, a slot that has a probability is drawn."""
    log_q = torch.tensor([[-math.inf, 0.0, 0.5, -math.inf]]).log_softmax(1)
    monkeypatch.setattr(
        "vmacore.addressing.uniform", lambda shape, _, like: torch.full(shape, uniform, dtype=like.dtype)
    )
    assert Addressing(log_q, log_q[0]).draw(1).item() == (1 if uniform == 0.0 else 2)


def test_draws_stay_inside_the_memory_where_nothing_is_a_number() -> None:
    """A run that diverges is told so by its loss, not by an index."""
    addressing = Addressing(torch.full((2, 3), math.nan), torch.full((3,), math.nan))
    assert int(addressing.draw(4).max()) < 3
    assert int(addressing.draw_prior((4,)).max()) < 3


def test_draws_are_reproducible_and_detached() -> None:
    log_q = _normal(3, 8).requires_grad_().log_softmax(1)
    addressing = Addressing(log_q, log_q[0])
    first = addressing.draw(50, torch.Generator().manual_seed(3))
    assert torch.equal(addressing.draw(50, torch.Generator().manual_seed(3)), first)
    assert not torch.equal(addressing.draw(50, torch.Generator().manual_seed(4)), first)
    assert not first.requires_grad


def test_drawing_keeps_nothing_for_a_gradient() -> None:
    """Addresses have none, and what is kept of all slots would be as large as the scores in float64."""
    log_q = _normal(3, 8).requires_grad_().log_softmax(1)
    addressing, kept = Addressing(log_q, log_q[0]), []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        addressing.draw(5, torch.Generator().manual_seed(0))
        addressing.draw_prior((5,), torch.Generator().manual_seed(0))
        assert not kept
        addressing.kl()
        assert kept  # the hook sees what is kept


def test_draws_from_the_prior() -> None:
    log_p = (1.5 * _normal(8)).float().log_softmax(0)
    addressing = Addressing(torch.zeros(2, 8).log_softmax(1), log_p)
    address = addressing.draw_prior((100, 300), torch.Generator().manual_seed(0))
    assert address.shape == (100, 300)
    assert _fits(address, log_p.double().exp())
    assert not _fits(address, torch.full((8,), 1 / 8).double())
    assert torch.equal(addressing.draw_prior((100, 300), torch.Generator().manual_seed(0)), address)


def test_drawing_is_as_precise_as_the_device_allows() -> None:
    assert precise(torch.zeros(1)) == torch.float64
    assert precise(torch.zeros(1, device="meta")) == torch.float64
    assert precise(SimpleNamespace(device=torch.device("mps"))) == torch.float32  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64])
def test_classes_may_be_numbered_in_any_kind_of_integer(kind: torch.dtype) -> None:
    log_q = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    found = Addressing(log_q, log_q[0]).class_log_prob(torch.tensor([2, 0, 2, 0]).to(kind), 3)
    torch.testing.assert_close(found.exp(), torch.tensor([[0.6, 0.0, 0.4]]))


def test_a_class_whose_probability_underflows_has_a_logarithm() -> None:
    log_q = torch.tensor([[-900.0, 0.0, -901.0]], dtype=torch.float64)
    found = Addressing(log_q, log_q[0]).class_log_prob(torch.tensor([0, 1, 0]), 2)
    assert found[0].tolist() == pytest.approx([-900 + math.log1p(math.exp(-1)), 0.0])


@pytest.mark.parametrize("mass", [1e-3, 1.0, 1e3])
def test_addresses_are_drawn_in_proportion_to_mass(mass: float) -> None:
    """Probabilities sum up to 1 only as nearly as their rounding lets them; the shares are those of their sum."""
    log_q = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]], dtype=torch.float64).log() + math.log(mass)
    address = Addressing(log_q, torch.zeros(6).log_softmax(0)).draw(4_000, torch.Generator().manual_seed(0))
    shares = address[0].bincount(minlength=6) / 4_000
    assert shares.tolist() == pytest.approx([0, 0.25, 0, 0.5, 0.25, 0], abs=0.03)
    assert shares[[0, 2, 5]].tolist() == [0, 0, 0]
