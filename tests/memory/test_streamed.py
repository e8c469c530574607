"""Streamed addressing against the same distribution held whole, in float64, and against what it should draw."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch import Tensor

from vmacore.addressing import Addressing, address_posterior, address_prior, query_side, slot_side
from vmacore.memory import streamed as streaming
from vmacore.memory.encoded import EncodedMemory
from vmacore.memory.streamed import SEGMENT, Segments, StreamedAddressing


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last of them not full; what is in production 2048 and more."""
    production = Segments.blocks
    monkeypatch.setattr(Segments, "blocks", lambda self, _: production(self, 4 * SEGMENT))
    monkeypatch.setattr(streaming, "ROWS", 8 * SEGMENT * 3)  # three segments at a time


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _both(
    slots: int, scale: float = 3.0, similarity: str = "normalised", labels: Tensor | None = None
) -> tuple[Addressing, StreamedAddressing]:
    """Four queries to slots whose keys lie near one another in neighbouring places, as classes do."""
    keys = _normal(slots, 6) + 2 * _normal(slots // 50 + 1, 6, seed=1).repeat_interleave(50, 0)[:slots]
    queries, point = scale * _normal(4, 6, seed=2), _normal(6, seed=3)
    log_p = address_prior(keys, point, similarity)
    streamed = StreamedAddressing(
        slot_side(keys, similarity), query_side(queries, similarity), log_p, Segments.of(slots, labels)
    )
    return Addressing(address_posterior(keys, queries, similarity), log_p), streamed


def _close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


SLOTS = [1, SEGMENT, 4 * SEGMENT, 1000]


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("similarity", ["normalised", "inner", "cosine"])
def test_everything_equals_the_distribution_held_whole(slots: int, similarity: str) -> None:
    dense, streamed = _both(slots, similarity=similarity)
    _close(streamed.log_q, dense.log_q)
    _close(streamed.kl(), dense.kl())
    _close(streamed.posterior_entropy(), dense.posterior_entropy())
    _close(streamed.prior_entropy(), dense.prior_entropy())
    address = torch.randint(slots, (4, 30), generator=torch.Generator().manual_seed(0))
    _close(streamed.posterior_at(address), dense.posterior_at(address))
    _close(streamed.posterior_at(address), dense.log_q.gather(1, address))
    _close(streamed.log_weight(address), dense.log_p[address] - dense.log_q.gather(1, address))


@pytest.mark.parametrize("slots", SLOTS)
def test_the_same_numbers_draw_the_same_addresses(slots: int) -> None:
    dense, streamed = _both(slots)
    drawn = streamed.draw(2_000, torch.Generator().manual_seed(5))
    assert drawn.shape == (4, 2_000)
    assert drawn.dtype == torch.int64
    assert torch.equal(drawn, dense.draw(2_000, torch.Generator().manual_seed(5)))
    prior = streamed.draw_prior((7, 9), torch.Generator().manual_seed(5))
    assert torch.equal(prior, dense.draw_prior((7, 9), torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("scale", [300.0, 0.0, pytest.param(30.0, id="some blocks shifted")])
def test_scores_whose_exponentials_are_no_float32_numbers(scale: float) -> None:
    """Shifts enter: the largest score of a block is far above or below 0, in some blocks only, or never."""
    dense, streamed = _both(1000, scale, "inner")
    single = StreamedAddressing(streamed.keys.float(), streamed.queries.float(), streamed.log_p.float())
    _close(streamed.log_q, dense.log_q)
    _close(streamed.kl(), dense.kl())
    torch.testing.assert_close(single.log_normaliser, streamed.log_normaliser, rtol=2e-7, atol=1e-5)
    torch.testing.assert_close(single.kl().double(), dense.kl(), rtol=1e-5, atol=1e-3)


def test_scores_far_below_zero() -> None:
    keys, queries = (
        F.normalize(_normal(700, 6).abs(), dim=1).float(),
        -400 * F.normalize(_normal(3, 6).abs(), dim=1).float(),
    )
    streamed = StreamedAddressing(keys, queries, torch.zeros(700).log_softmax(0))
    expected = (queries.double() @ keys.double().T).logsumexp(1)
    torch.testing.assert_close(streamed.log_normaliser, expected, rtol=2e-7, atol=1e-4)


def _fits(address: Tensor, probability: Tensor) -> bool:
    counts = address.flatten().bincount(minlength=len(probability)).double()
    expected = probability / probability.sum() * address.numel()
    usual = expected > 5
    counts, expected = (torch.cat([part[usual], part[~usual].sum()[None]]) for part in (counts, expected))
    return bool(chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-3)


def test_draws_follow_the_posterior() -> None:
    dense, streamed = _both(600)
    single = StreamedAddressing(streamed.keys.float(), streamed.queries.float(), streamed.log_p.float())
    address = single.draw(50_000, torch.Generator().manual_seed(0))
    for row in range(4):
        assert _fits(address[row], dense.log_q[row].exp())
        assert not _fits(address[row], dense.log_q[(row + 1) % 4].exp())  # the test can tell


@pytest.mark.parametrize("shift", [-3.0, 0.0, 4.0], ids=["little mass", "mass", "much mass"])
def test_fractions_are_of_all_mass_whatever_it_is(shift: float) -> None:
    """The middle of a slot's share of [0, 1) finds that slot, for scores that sum up to far less or more than 1."""
    scores = (
        shift
        + torch.linspace(-2, 2, 300, dtype=torch.float64)[
            torch.randperm(300, generator=torch.Generator().manual_seed(0))
        ]
    )
    streamed = StreamedAddressing(scores[:, None], torch.ones(1, 1, dtype=torch.float64), torch.zeros(300))
    share = scores.softmax(0)
    middle = share.cumsum(0) - share / 2
    assert streamed.locate(middle[None])[0].tolist() == list(range(300))
    assert abs(float(streamed.log_normaliser)) > 2


def test_slots_of_probability_zero_are_never_drawn() -> None:
    keys = torch.full((300, 1), -2000.0)
    keys[[0, 130, 299]] = 1.0
    streamed = StreamedAddressing(keys, torch.ones(2, 1), torch.zeros(300))
    assert set(streamed.draw(2_000, torch.Generator().manual_seed(0)).unique().tolist()) == {0, 130, 299}
    ends = streamed.locate(torch.tensor([[0.0, 1.0], [0.0, math.nextafter(1.0, 0.0)]], dtype=torch.float64))
    assert ends.tolist() == [[0, 299], [0, 299]]


def test_draws_stay_inside_the_memory_where_nothing_is_a_number() -> None:
    streamed = StreamedAddressing(torch.full((300, 2), math.nan), torch.ones(2, 2), torch.zeros(300))
    address = streamed.draw(4)
    assert int(address.min()) >= 0
    assert int(address.max()) < 300
    assert bool(streamed.kl().isnan().all())


@pytest.mark.parametrize("order", ["sorted", "mixed"])
def test_sums_over_classes(order: str) -> None:
    """Classes of 1 to 200 slots, two of them empty; sorted, as a large memory has them, or not."""
    labels = torch.arange(9).repeat_interleave(torch.tensor([1, 200, 0, 3, 64, 128, 63, 0, 141]))
    labels = labels if order == "sorted" else labels[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    dense, streamed = _both(600, labels=labels)
    q = dense.log_q.exp()
    expected = torch.stack([q[:, labels == c].sum(1).log() for c in range(9)], 1)
    _close(dense.class_log_prob(labels, 9), expected)
    _close(streamed.class_log_prob(labels, 9), expected)
    assert bool((expected[:, [2, 7]] == -math.inf).all())
    _close(streamed.class_log_mass(labels, 9).logsumexp(1), streamed.log_normaliser)
    one_each = torch.arange(600) // 60
    alone = StreamedAddressing(streamed.keys, streamed.queries, streamed.log_p, Segments.of(600, one_each))
    _close(alone.class_log_prob(one_each, 10), dense.class_log_prob(one_each, 10))
    # Of other labels too, by a pass of their own; and whatever the segments are, the draws are the same.
    other = labels.flip(0)
    _close(streamed.class_log_prob(other, 9), dense.class_log_prob(other, 9))
    drawn = streamed.draw(500, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, dense.draw(500, torch.Generator().manual_seed(1)))


def test_runs_are_of_one_class_each() -> None:
    labels = torch.tensor([0] * 10 + [1] * 150 + [2] * 40)
    assert Segments.of(200, labels).starts.tolist() == [0, 10, 10 + SEGMENT, 10 + 2 * SEGMENT, 160, 200]
    assert Segments.of(200).starts.tolist() == [*range(0, 200, SEGMENT), 200]
    assert Segments.of(1).starts.tolist() == [0, 1]


@pytest.mark.parametrize("wanted", [1, 50, 64, 100, 10_000])
def test_blocks_hold_whole_runs(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    monkeypatch.undo()
    labels = torch.arange(40).repeat_interleave(torch.arange(40))
    for segments in (Segments.of(len(labels), labels), Segments.of(len(labels)), Segments.of(1)):
        blocks = segments.blocks(wanted)
        assert [first.start for first, _ in blocks] == [0, *(last.stop for last, _ in blocks[:-1])]
        assert blocks[-1][0].stop == len(segments.starts) - 1
        for which, rows in blocks:
            assert [rows.start, rows.stop] == segments.starts[[which.start, which.stop]].tolist()
            assert 0 < rows.stop - rows.start < wanted + SEGMENT


def test_shards_combine_to_the_whole() -> None:
    """What memory that is shared out over processes relies on: masses add, fractions of a shard find its slots."""
    _, whole = _both(1000)
    parts = [slice(0, 300), slice(300, 1000)]
    shards = [StreamedAddressing(whole.keys[part], whole.queries, whole.log_p[part]) for part in parts]
    masses = torch.stack([shard.log_normaliser for shard in shards], 1)
    total = masses.logsumexp(1)
    _close(total, whole.log_normaliser)
    weight = (masses - total[:, None]).exp()
    log_q, log_p = (torch.stack(part, 1) for part in zip(*(shard.expectations() for shard in shards), strict=True))
    _close(((log_q + weight.log() - log_p) * weight).sum(1), whole.kl())
    fraction = torch.rand(4, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = weight[:, :1]
    inside = (fraction / first).clamp(max=1 - 1e-12), ((fraction - first) / (1 - first)).clamp(min=0)
    low, high = (shard.locate(share) for shard, share in zip(shards, inside, strict=True))
    assert torch.equal(torch.where(fraction < first, low, 300 + high), whole.locate(fraction))


def test_a_memory_switches_to_streams_when_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = _normal(500, 6), _normal(4, 6, seed=1)
    memory = EncodedMemory(torch.zeros(500, 1, 8, 8), keys, address_prior(keys, None))
    dense = memory.address(queries, "normalised")
    monkeypatch.setattr("vmacore.memory.encoded.STREAMED_FROM", 2000)
    assert type(memory.address(queries, "normalised")) is Addressing  # gradients need all scores
    with torch.no_grad():
        streamed = memory.address(queries, "normalised")
        assert type(memory.address(queries[:3], "normalised")) is Addressing
    assert type(streamed) is StreamedAddressing
    _close(streamed.log_q, dense.log_q)
    _close(streamed.kl(), dense.kl())
