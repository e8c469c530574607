"""Measuring: what training, scoring, classifying and sampling take, beside the reference and beside their floors.

A floor is the time that the operations needed would take at the best rate that a convolution or a matrix product
reached in the same run. Everything is measured in turns, and medians over the rounds are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vmacore.bench.rate import candidates
from vmacore.bench.steps import warm_up
from vmacore.bench.tasks import Sizes, Task, tasks
from vmacore.bench.timing import in_turns, medians, timed
from vmacore.config import Config, load_recipe
from vmacore.training.graphs import matmul_precision

__all__ = ["QUICK", "Measured", "Report", "Sizes", "measure"]

LEAST_ROUNDS, MOST_ROUNDS = 3, 25
QUICK = Sizes(score_targets=1)
LONG_ENOUGH = 0.1  # seconds; shorter calls are made several times in a row


@dataclass(frozen=True)
class Measured:
    """One task: units a second of ours, of the reference, and at the floor.

    flops: operations that a unit needs. reference_format: the memory format in which the reference was faster.
    """

    name: str
    unit: str
    what: str
    value: float
    reference: float
    floor: float
    flops: float
    reference_format: str

    @property
    def ratio(self) -> float:
        """How many times faster than the reference."""
        return self.value / self.reference

    @property
    def times_floor(self) -> float:
        """How many times the floor's time it takes; 1 cannot be beaten."""
        return self.floor / self.value


@dataclass(frozen=True)
class Report:
    """All tasks, and the rates in FLOP/s that were reached in the same run, by what reached them."""

    results: list[Measured]
    rates: dict[str, float]
    rounds: int
    device: str
    threads: int

    @property
    def best(self) -> str:
        """What reached the rate that floors are made of."""
        return max(self.rates, key=lambda name: self.rates[name])


def measure(
    config: Config | None = None,
    *,
    seconds: float = 60.0,
    sizes: Sizes | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure all tasks in about so many seconds, or in three rounds if that takes longer.

    config: whose network and episodes; None: the paper's, recipe `omniglot`. progress(done, total) counts rounds. On
    CUDA everything, rates and reference too, may use TF32, as training does.
    """
    config = config or load_recipe("omniglot")
    with matmul_precision(torch.device(device), config.training.precision):
        return _measure(config, seconds, sizes, device, progress)


def _measure(
    config: Config,
    seconds: float,
    sizes: Sizes | None,
    device: torch.device | str,
    progress: Callable[[int, int], None] | None,
) -> Report:
    began = time.perf_counter()
    found = tasks(config, sizes, device)
    rates = {one.name: one for one in candidates(device)}
    formats = {task.name: _faster(task, device) for task in found}
    calls = {("ours", task.name): task.ours for task in found}
    calls |= {("reference", task.name): task.references[formats[task.name]] for task in found}
    calls |= {("rate", name): one.call for name, one in rates.items()}
    for (kind, _), call in calls.items():
        for _ in range(warm_up(device) - (kind == "reference")):  # the reference has been called once already
            call()
    first = {key: timed(call, device) for key, call in calls.items()}
    repeats = {key: max(1, min(50, round(LONG_ENOUGH / max(one, 1e-9)))) for key, one in first.items()}
    each = sum(first[key] * repeats[key] for key in calls)
    left = seconds - (time.perf_counter() - began)
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(left / each)))
    taken = medians(in_turns(calls, rounds=rounds, device=device, repeats=repeats, progress=progress))
    reached = {name: one.flops / taken["rate", name] for name, one in rates.items()}
    results = [
        Measured(
            name=task.name,
            unit=task.unit,
            what=task.what,
            value=task.count / taken["ours", task.name],
            reference=task.reference_count / taken["reference", task.name],
            floor=max(reached.values()) / task.flops,
            flops=task.flops,
            reference_format=formats[task.name],
        )
        for task in found
    ]
    return Report(results, reached, rounds, str(device), torch.get_num_threads())


def _faster(task: Task, device: torch.device | str) -> str:
    """The memory format in which the reference does this task faster."""
    times = {name: timed(call, device) for name, call in task.references.items()}
    return min(times, key=lambda name: times[name])
