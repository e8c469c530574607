"""Random streams that are a pure function of (seed, step), so that resuming needs one integer."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What a stream is for: streams of one (seed, step) are independent of one another."""

    EPISODE = 0
    NOISE = 1
    PIXELS = 2
    INITIAL = 3


def generator(seed: int, step: int, stream: Stream, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` in the state that belongs to (seed, step, stream), whatever was drawn before."""
    words = np.random.SeedSequence((seed, step, int(stream))).generate_state(2)
    state = (int(words[0]) << 32 | int(words[1])) & (2**63 - 1)
    return torch.Generator(device).manual_seed(state)
