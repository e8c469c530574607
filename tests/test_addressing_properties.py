"""What holds of addressing whatever the keys and queries, against sums written out in float64."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from tests import synthetic
from vmacore.addressing import SIMILARITIES, Addressing, address_posterior, address_prior, similarities
from vmacore.models.soft_attention import SoftAttention

similarity_names = st.sampled_from(list(SIMILARITIES))


class Embeddings(NamedTuple):
    """keys [S, E], queries [B, E], query point [E], float64."""

    keys: Tensor
    queries: Tensor
    point: Tensor


@st.composite
def embeddings(draw: st.DrawFn, largest: int = 30) -> Embeddings:
    """Up to 9 slots, 4 targets and 5 dimensions: sixteenths, so that a norm is 0 or far above rounding."""
    S, B, E = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    sixteenths = st.integers(-16 * largest, 16 * largest)
    values = torch.from_numpy(draw(arrays(np.int64, (S + B + 1, E), elements=sixteenths)) / 16)
    return Embeddings(values[:S], values[S : S + B], values[-1])


def _dot(left: list[float], right: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def _unit(vector: list[float]) -> list[float]:
    norm = math.sqrt(_dot(vector, vector))
    return [value / norm for value in vector] if norm else vector


def _scores(keys: Tensor, query: Tensor, similarity: str) -> list[float]:
    """S(m_a, x) of every slot, from equation 5 and nothing else."""
    e_x = _unit(query.tolist()) if similarity == "cosine" else query.tolist()
    return [_dot(key if similarity == "inner" else _unit(key), e_x) for key in keys.tolist()]


def _log_softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    total = math.log(math.fsum(math.exp(score - top) for score in scores))
    return [score - top - total for score in scores]


def _direct(keys: Tensor, queries: Tensor, similarity: str) -> Tensor:
    rows = [_log_softmax(_scores(keys, query, similarity)) for query in queries]
    return torch.tensor(rows, dtype=torch.float64)


def _addressing(drawn: Embeddings, similarity: str) -> Addressing:
    log_p = address_prior(drawn.keys, drawn.point, similarity)
    return Addressing(address_posterior(drawn.keys, drawn.queries, similarity), log_p)


@given(embeddings(), similarity_names)
def test_distributions_are_a_softmax_over_the_slots(drawn: Embeddings, similarity: str) -> None:
    addressing = _addressing(drawn, similarity)
    torch.testing.assert_close(addressing.log_q, _direct(drawn.keys, drawn.queries, similarity), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        addressing.log_p, _direct(drawn.keys, drawn.point[None], similarity)[0], rtol=0, atol=1e-9
    )
    flat = address_prior(drawn.keys, None, similarity)
    torch.testing.assert_close(flat, torch.full_like(flat, -math.log(len(flat))))
    for log_probability in (addressing.log_q, addressing.log_p[None], flat[None]):
        assert float(log_probability.logsumexp(1).abs().max()) < 1e-12
        assert float(log_probability.max()) <= 0


@given(embeddings(), similarity_names, st.sampled_from([torch.float32, torch.bfloat16]))
def test_lower_precision_is_raised_before_the_scores(drawn: Embeddings, similarity: str, dtype: torch.dtype) -> None:
    keys, queries = drawn.keys.to(dtype), drawn.queries.to(dtype)
    log_q = address_posterior(keys, queries, similarity)
    assert log_q.dtype == torch.float32
    expected = _direct(keys.double(), queries.double(), similarity)
    torch.testing.assert_close(log_q.double(), expected, rtol=1e-5, atol=4e-3)  # of scores up to 4,500


@given(embeddings(), st.data(), st.floats(1e-3, 1e3))
def test_the_length_of_a_key_says_nothing_where_keys_are_normalised(
    drawn: Embeddings, data: st.DataObject, scale: float
) -> None:
    slot = data.draw(st.integers(0, len(drawn.keys) - 1))
    scaled = drawn.keys.clone()
    scaled[slot] *= scale
    for similarity in ("normalised", "cosine"):
        whole = similarities(drawn.keys, drawn.queries, similarity)
        torch.testing.assert_close(similarities(scaled, drawn.queries, similarity), whole, rtol=1e-12, atol=1e-12)
    inner = similarities(drawn.keys, drawn.queries, "inner")
    inner[:, slot] *= scale
    torch.testing.assert_close(similarities(scaled, drawn.queries, "inner"), inner, rtol=1e-12, atol=1e-12)


@given(embeddings(), st.floats(1e-2, 1e2))
def test_the_length_of_a_query_is_an_inverse_temperature(drawn: Embeddings, scale: float) -> None:
    for similarity in ("normalised", "inner"):
        scores = similarities(drawn.keys, drawn.queries, similarity)
        found = address_posterior(drawn.keys, scale * drawn.queries, similarity)
        torch.testing.assert_close(found, (scale * scores).log_softmax(1), rtol=1e-9, atol=1e-9)
    cosine = address_posterior(drawn.keys, drawn.queries, "cosine")
    torch.testing.assert_close(address_posterior(drawn.keys, scale * drawn.queries, "cosine"), cosine)


@given(embeddings(), similarity_names, st.data())
def test_slots_and_targets_have_no_order(drawn: Embeddings, similarity: str, data: st.DataObject) -> None:
    S, B = len(drawn.keys), len(drawn.queries)
    slots = torch.tensor(data.draw(st.permutations(range(S))))
    targets = torch.tensor(data.draw(st.permutations(range(B))))
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=S, max_size=S)))
    one = _addressing(drawn, similarity)
    other = _addressing(Embeddings(drawn.keys[slots], drawn.queries[targets], drawn.point), similarity)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(other.log_q, one.log_q[targets][:, slots], **close)
    torch.testing.assert_close(other.log_p, one.log_p[slots], **close)
    torch.testing.assert_close(other.kl(), one.kl()[targets], **close)
    torch.testing.assert_close(other.posterior_entropy(), one.posterior_entropy()[targets], **close)
    torch.testing.assert_close(other.prior_entropy(), one.prior_entropy(), **close)
    by_class = one.class_log_prob(labels, 4)[targets]
    torch.testing.assert_close(other.class_log_prob(labels[slots], 4), by_class, **close)


@given(embeddings(largest=1000), similarity_names)
def test_divergences_and_entropies_are_their_sums(drawn: Embeddings, similarity: str) -> None:
    """Scores so far apart that probabilities underflow: these slots contribute nothing."""
    addressing = _addressing(drawn, similarity)
    kl, entropy = addressing.kl(), addressing.posterior_entropy()
    assert float(kl.min()) >= -1e-12
    for row, log_q in enumerate(addressing.log_q.tolist()):
        terms = [(math.exp(q), q, p) for q, p in zip(log_q, addressing.log_p.tolist(), strict=True)]
        assert float(kl[row]) == pytest.approx(math.fsum(w * (q - p) for w, q, p in terms if w), rel=1e-9, abs=1e-9)
        assert float(entropy[row]) == pytest.approx(-math.fsum(w * q for w, q, _ in terms), rel=1e-9, abs=1e-9)
    flat = Addressing(addressing.log_q, address_prior(drawn.keys, None, similarity))
    torch.testing.assert_close(flat.kl(), math.log(len(drawn.keys)) - entropy, rtol=1e-9, atol=1e-9)
    same = address_posterior(drawn.keys, drawn.point[None], similarity)
    assert Addressing(same, addressing.log_p).kl().tolist() == [0.0]


@given(embeddings(), similarity_names, st.data())
def test_a_slot_of_probability_zero_counts_for_nothing(drawn: Embeddings, similarity: str, data: st.DataObject) -> None:
    """Slots that are hidden, log q = −∞, give what the others alone give."""
    S = len(drawn.keys)
    seen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=S, max_size=S).filter(any)))
    slots = seen.nonzero()[:, 0]
    one = _addressing(drawn, similarity)
    log_q = one.log_q.masked_fill(~seen, -math.inf).log_softmax(1)
    hidden, alone = Addressing(log_q, one.log_p), Addressing(log_q[:, slots], one.log_p[slots])
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(hidden.kl(), alone.kl(), **close)
    torch.testing.assert_close(hidden.posterior_entropy(), alone.posterior_entropy(), **close)
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=S, max_size=S)))
    by_class = alone.class_log_prob(labels[slots], 4)
    torch.testing.assert_close(hidden.class_log_prob(labels, 4), by_class, **close)
    assert bool(seen[hidden.draw(8, torch.Generator().manual_seed(0))].all())


@given(embeddings(), similarity_names, st.data())
def test_a_class_has_the_sum_of_its_slots(drawn: Embeddings, similarity: str, data: st.DataObject) -> None:
    S, classes = len(drawn.keys), 4
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=S, max_size=S))
    addressing = _addressing(drawn, similarity)
    found = addressing.class_log_prob(torch.tensor(labels), classes)
    for c in range(classes):
        own = [slot for slot in range(S) if labels[slot] == c]
        if own:
            expected = addressing.log_q[:, own].logsumexp(1)
            torch.testing.assert_close(found[:, c], expected, rtol=1e-9, atol=1e-9)
        else:
            assert found[:, c].tolist() == [-math.inf] * len(found)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(len(found), dtype=torch.float64))


@given(embeddings(largest=1000), similarity_names, st.integers(0, 2**32 - 1))
def test_addresses_invert_the_cumulative_distribution(drawn: Embeddings, similarity: str, seed: int) -> None:
    addressing, samples = _addressing(drawn, similarity), 16
    address = addressing.draw(samples, torch.Generator().manual_seed(seed))
    u = torch.rand(len(drawn.queries), samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for row, log_q in enumerate(addressing.log_q.tolist()):
        below = [math.fsum(math.exp(q) for q in log_q[:slot]) for slot in range(len(log_q) + 1)]
        for number, slot in zip(u[row].tolist(), address[row].tolist(), strict=True):
            assert below[slot] - 1e-12 <= number <= below[slot + 1] + 1e-12
            assert log_q[slot] > -745  # never a slot whose probability is 0
    log_weight = addressing.log_weight(address)
    for row in range(len(address)):
        expected = addressing.log_p[address[row]] - addressing.log_q[row, address[row]]
        assert torch.equal(log_weight[row], expected)


@pytest.fixture(scope="module")
def soft_attention() -> SoftAttention:
    torch.manual_seed(0)
    return SoftAttention(synthetic.MODEL.changed(system="soft-attention")).double()


@given(slots=st.integers(1, 6), targets=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_attention_is_a_softmax_over_the_slots_that_a_target_may_see(
    soft_attention: SoftAttention, slots: int, targets: int, seed: int, data: st.DataObject
) -> None:
    rows = st.lists(st.booleans(), min_size=slots, max_size=slots).filter(any)
    mask = torch.tensor(data.draw(st.lists(rows, min_size=targets, max_size=targets)))
    draw = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(targets, synthetic.MODEL.latent, dtype=torch.float64, generator=draw)
    images = (torch.rand(slots, 1, *synthetic.SIZE, generator=draw) < 0.4).double()
    with torch.no_grad():
        memory = soft_attention.read(images, mask)
        weights = soft_attention.attention(z, memory, torch.arange(targets))
        queries = soft_attention.query_network(z)
        for target in range(targets):
            seen = mask[target].nonzero()[:, 0]
            alone = _direct(memory.keys[seen], queries[target : target + 1], synthetic.MODEL.similarity).exp()[0]
            expected = torch.zeros(slots, dtype=torch.float64).index_copy(0, seen, alone)
            torch.testing.assert_close(weights[target], expected, rtol=1e-9, atol=1e-12)
            assert weights[target][~mask[target]].abs().sum() == 0
