"""Random streams that depend on (seed, step, stream) and on nothing else."""

from __future__ import annotations

import itertools

import pytest
import torch

from vmacore.seeds import Stream, generator


def _drawn(seed: int, step: int, stream: Stream) -> list[float]:
    return torch.rand(4, generator=generator(seed, step, stream)).tolist()


def test_the_same_numbers_whatever_was_drawn_before() -> None:
    first = _drawn(3, 5, Stream.NOISE)
    torch.manual_seed(99)
    torch.rand(7)
    _drawn(3, 4, Stream.NOISE)
    assert _drawn(3, 5, Stream.NOISE) == first


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    _drawn(0, 0, Stream.EPISODE)
    assert torch.equal(torch.rand(3), expected)


def test_every_seed_step_and_stream_has_numbers_of_its_own() -> None:
    # (1, 2) and (2, 1), or (0, 2) and (1, 1), would meet in a seed made by adding.
    numbers = [tuple(_drawn(*place)) for place in itertools.product(range(8), range(8), Stream)]
    assert len(set(numbers)) == 8 * 8 * len(Stream)


def test_streams_of_one_step_are_uncorrelated() -> None:
    count = 20_000
    drawn = torch.stack([torch.rand(count, generator=generator(0, 0, stream)) for stream in Stream])
    correlation = drawn.corrcoef() - torch.eye(len(Stream))
    assert float(correlation.abs().max()) < 5 / count**0.5


def test_consecutive_steps_are_uncorrelated() -> None:
    first = torch.stack([torch.rand(2, generator=generator(0, step, Stream.NOISE)) for step in range(4_000)])
    assert abs(float(first[:, 0].mean()) - 0.5) < 5 * 0.2887 / 4_000**0.5
    assert abs(float(torch.stack([first[:-1, 0], first[1:, 0]]).corrcoef()[0, 1])) < 5 / 4_000**0.5


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_large_seeds_and_steps(seed: int) -> None:
    assert _drawn(seed, 10**9, Stream.EPISODE) != _drawn(seed, 10**9 + 1, Stream.EPISODE)
