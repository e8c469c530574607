"""Random streams that are a pure function of (seed, step), so that resuming needs one integer.

Processes that share the targets of a step (`vmacore.distributed`) see the numbers that one process would. Whoever draws
a row for every target does so by `standard_normal`, `uniform` or `exponential`: of a shared stream they draw the rows
of all targets and return those of this process.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

WORD = 2**32  # what a word of a seed holds


class Stream(IntEnum):
    """What a stream is for: streams of one (seed, step) are independent of one another."""

    EPISODE = 0
    NOISE = 1
    PIXELS = 2
    INITIAL = 3
    VARIATION = 4
    AUGMENTATION = 5
    UNKNOWN = 6


class SharedGenerator(torch.Generator):
    """A generator whose rows are shared out: this process has part `rank` of `size` equal ones."""

    rank: int = 0
    size: int = 1


def generator(seed: int, step: int, stream: Stream, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` in the state that belongs to (seed, step, stream), whatever was drawn before."""
    return torch.Generator(device).manual_seed(_state(seed, step, stream))


def shared_generator(
    seed: int, step: int, stream: Stream, device: torch.device | str, rank: int, size: int
) -> SharedGenerator:
    """The same stream for process `rank` of `size`, which gets its own rows of it."""
    shared = SharedGenerator(device)
    shared.manual_seed(_state(seed, step, stream))
    shared.rank, shared.size = rank, size
    return shared


def standard_normal(shape: tuple[int, ...], noise: torch.Generator | None, like: Tensor) -> Tensor:
    """Standard normal numbers of a shape whose first dimension counts targets or their samples; dtype as `like`."""
    return _rows(lambda whole: torch.randn(whole, generator=noise, dtype=like.dtype, device=like.device), shape, noise)


def uniform(shape: tuple[int, ...], noise: torch.Generator | None, like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1), as `standard_normal`."""
    return _rows(lambda whole: torch.rand(whole, generator=noise, dtype=like.dtype, device=like.device), shape, noise)


def exponential(shape: tuple[int, ...], noise: torch.Generator | None, like: Tensor) -> Tensor:
    """Standard exponential numbers, as `standard_normal`."""
    return _rows(lambda whole: like.new_empty(whole).exponential_(generator=noise), shape, noise)


def _rows(draw: Callable[[tuple[int, ...]], Tensor], shape: tuple[int, ...], noise: torch.Generator | None) -> Tensor:
    if not isinstance(noise, SharedGenerator):
        return draw(shape)
    count, *rest = shape
    return draw((count * noise.size, *rest))[count * noise.rank : count * (noise.rank + 1)]


def _state(seed: int, step: int, stream: Stream) -> int:
    place: tuple[int, ...] = (seed, step, int(stream))
    if max(seed, step) >= WORD:
        # A number takes as many words as it needs, and zeros at the end count for nothing: written as they are,
        # (2³², 0, 0) and (0, 1, 0) would be one. Small numbers stay as they are, with the streams that they had.
        place = (seed % WORD, seed // WORD, step % WORD, step // WORD, int(stream), 1)
    words = np.random.SeedSequence(place).generate_state(2)
    return (int(words[0]) << 32 | int(words[1])) & (2**63 - 1)
