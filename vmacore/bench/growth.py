"""How the cost of a training step and of a score grows with memory, samples, targets and image size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from vmacore.bench.flops import Work, total, vma_flops
from vmacore.bench.steps import EPISODES, scoring, training_step, vma_model, warm_up
from vmacore.bench.timing import Call, in_turns, medians
from vmacore.config import Config

# One of these is varied at a time, the others stand as `AT` says.
AXES: dict[str, Sequence[int]] = {
    "|M|": (8, 32, 128, 512, 2048),
    "K": (2, 4, 8, 16, 32),
    "B": (8, 16, 32, 64, 128),
    "side": (14, 20, 26, 28, 52),
}
AT = {"|M|": 32, "K": 4, "B": 32, "side": 26}
SCORE_AXES = AXES | {"K": (10, 30, 100, 300, 1000), "B": ()}  # targets are scored one by one
SCORE_AT = AT | {"K": 100, "B": 2}


@dataclass(frozen=True)
class Point:
    """One measurement: seconds of a call and the operations that it needs.

    task: "step", or "score" of 4 targets at K = 100 unless that is varied. axis: what was varied, to which value.
    """

    task: str
    axis: str
    value: int
    seconds: float
    flops: float


def growth(
    config: Config,
    *,
    steps: Mapping[str, Sequence[int]] = AXES,
    scores: Mapping[str, Sequence[int]] = SCORE_AXES,
    rounds: int = 5,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[Point]:
    """Measure along every axis, all points in turns; fresh weights, the most expensive case."""
    plan = {("step", axis, value): AT | {axis: value} for axis in steps for value in steps[axis]}
    plan |= {("score", axis, value): SCORE_AT | {axis: value} for axis in scores for value in scores[axis]}
    made = {key: _made(key[0], sizes, config, device) for key, sizes in plan.items()}
    calls = {key: call for key, (call, _) in made.items()}
    in_turns(calls, rounds=warm_up(device), device=device)
    taken = medians(in_turns(calls, rounds=rounds, device=device, progress=progress))
    return [Point(*key, taken[key], flops) for key, (_, flops) in made.items()]


def _made(task: str, sizes: Mapping[str, int], config: Config, device: torch.device | str) -> tuple[Call, float]:
    S, K, B, side = (sizes[axis] for axis in ("|M|", "K", "B", "side"))
    config = config.with_overrides([f"model.size=[{side}, {side}]", f"objective.samples={K}"])
    model = vma_model(config, device)
    work = Work.expected(B, S, K)
    if task == "step":
        step = training_step(model, config, targets=B, slots=S, device=device)
        return step, total(vma_flops(config.model, work).values()).training
    flops = total(vma_flops(config.model, work).values()).forward
    return scoring(model, config, targets=B, slots=S, samples=K, device=device), EPISODES * flops
