"""Where the time of a call goes, operation by operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch.profiler import ProfilerActivity, profile

from vmacore.bench.steps import EPISODES, scoring, training_step, vma_model
from vmacore.bench.timing import Call
from vmacore.config import Config


@dataclass(frozen=True)
class Operation:
    """An operation of torch, for all its calls within one call of what was profiled.

    shapes: of its first tensors, where they were asked for. seconds: its own, without those of operations it calls.
    """

    name: str
    shapes: str
    calls: float
    seconds: float
    share: float


def task_call(task: Literal["step", "score"], config: Config, device: torch.device | str = "cpu") -> Call:
    """A training step with 32 targets, or a score of 4 targets at K = 1000; 32 slots, fresh weights."""
    model = vma_model(config, device)
    if task == "step":
        return training_step(model, config, targets=32, slots=32, device=device)
    model.eval().requires_grad_(False)
    return scoring(model, config, targets=4 // EPISODES, slots=32, samples=1000, device=device)


def operations(
    call: Call, *, repeats: int = 3, by_shape: bool = False, device: torch.device | str = "cpu"
) -> list[Operation]:
    """Operations of a call, the longest first; means over `repeats` calls after one that is not counted."""
    cuda = torch.device(device).type == "cuda"
    call()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, record_shapes=by_shape, acc_events=True) as seen:
        for _ in range(repeats):
            call()
    rows = []
    for event in seen.key_averages(group_by_input_shape=by_shape):
        micro = event.self_device_time_total if cuda else event.self_cpu_time_total
        shapes = " ".join("×".join(map(str, shape)) for shape in event.input_shapes[:2] if shape) if by_shape else ""
        rows.append((event.key, shapes, event.count / repeats, micro * 1e-6 / repeats))
    whole = sum(seconds for *_, seconds in rows)
    found = [Operation(name, shapes, calls, seconds, seconds / whole) for name, shapes, calls, seconds in rows]
    return sorted(found, key=lambda one: -one.seconds)
