"""Timing in turns: what is compared is measured within the same rounds, so that drift of the machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

Key = TypeVar("Key")
Call = Callable[[], object]


def timed(call: Call, device: torch.device | str, repeats: int = 1) -> float:
    """Seconds that a call takes, whatever the device had queued; the mean over `repeats` calls in a row."""
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if cuda:
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def in_turns(
    calls: Mapping[Key, Call],
    *,
    rounds: int,
    device: torch.device | str = "cpu",
    repeats: Mapping[Key, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Key, list[float]]:
    """Seconds of each call in each round. repeats: how often in a row a short call is made; progress(done, rounds)."""
    seconds: dict[Key, list[float]] = {key: [] for key in calls}
    for turn in range(rounds):
        for key, call in calls.items():
            seconds[key].append(timed(call, device, (repeats or {}).get(key, 1)))
        if progress:
            progress(turn + 1, rounds)
    return seconds


def medians(seconds: Mapping[Key, list[float]]) -> dict[Key, float]:
    """The median over the rounds."""
    return {key: statistics.median(times) for key, times in seconds.items()}
