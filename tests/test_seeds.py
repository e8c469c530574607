"""Random streams that depend on (seed, step, stream) and on nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vmacore.seeds import Stream, exponential, generator, shared_generator, standard_normal, uniform


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


places = st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.sampled_from(Stream))


@given(places, places)
def test_two_places_have_the_same_numbers_only_if_they_are_one(
    one: tuple[int, int, Stream], other: tuple[int, int, Stream]
) -> None:
    first = _drawn(*one)
    assert (_drawn(*other) == first) == (one == other)
    assert _drawn(*one) == first


@given(places)
def test_neighbours_have_numbers_of_their_own(place: tuple[int, int, Stream]) -> None:
    """Places that differ by one in seed, step or stream, and those where two numbers have changed places."""
    seed, step, stream = place
    around = [
        (seed, step + 1, stream),
        (seed ^ 1, step, stream),
        (seed, step, Stream((stream + 1) % len(Stream))),
        (seed, step + 2**32, stream),  # halves of large numbers do not run into one another
        (seed ^ 2**32, step, stream),
        *([] if seed == step else [(step, seed, stream)]),
    ]
    assert len({tuple(_drawn(*each)) for each in [place, *around]}) == 1 + len(around)


def test_streams_of_small_seeds_are_what_they_were() -> None:
    """Runs go on exactly, whatever becomes of `generator`."""
    words = np.random.SeedSequence((3, 5, int(Stream.PIXELS))).generate_state(2)
    state = (int(words[0]) << 32 | int(words[1])) & (2**63 - 1)
    assert _drawn(3, 5, Stream.PIXELS) == torch.rand(4, generator=torch.Generator().manual_seed(state)).tolist()


DRAWING = (standard_normal, uniform, exponential)


@given(
    places,
    st.integers(1, 5),
    st.integers(1, 7),
    st.lists(st.integers(1, 4), max_size=2),
    st.lists(st.sampled_from(DRAWING), min_size=1, max_size=3),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_processes_together_draw_the_rows_of_one(
    place: tuple[int, int, Stream],
    size: int,
    count: int,
    rest: list[int],
    drawing: list[Callable[[tuple[int, ...], torch.Generator, Tensor], Tensor]],
    dtype: torch.dtype,
) -> None:
    """Several tensors one after another, of which each process asks for its own rows alone."""
    like = torch.zeros(0, dtype=dtype)
    alone = generator(*place)
    whole = [draw((size * count, *rest), alone, like) for draw in drawing]
    ranks = [shared_generator(*place, "cpu", rank, size) for rank in range(size)]
    shares = [[draw((count, *rest), shared, like) for draw in drawing] for shared in ranks]
    for number, expected in enumerate(whole):
        assert expected.dtype == dtype
        assert torch.equal(torch.cat([share[number] for share in shares]), expected)
    assert all(torch.equal(shared.get_state(), alone.get_state()) for shared in ranks)
