"""Time of an update against the size of memory, hard addressing beside soft attention (section 5)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from matplotlib.figure import Figure

from vmacore.config import Config
from vmacore.estimators import estimator_for
from vmacore.experiments import figures, systems
from vmacore.experiments.lab import Lab
from vmacore.experiments.result import Result, Row
from vmacore.loading import build_model

SYSTEMS = (systems.VMA, systems.SOFT_K1, systems.SOFT)
SLOTS = (8, 16, 32, 48, 64, 96, 128, 192, 256)
ROUNDS, TARGETS = 9, 32
INK = 0.1378  # of Omniglot's pixels
PAPER = 48  # slots from which on hard addressing is faster


def run(lab: Lab) -> Result:
    """Time updates in turns, all systems and sizes within each round, so that drift hits them alike."""
    configs = {system.key: system.plan.config() for system in SYSTEMS}
    updates = {
        (system.key, slots): update(configs[system.key], slots, lab.device) for system in SYSTEMS for slots in SLOTS
    }

    def measure(rounds: int) -> dict[tuple[str, int], list[float]]:
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in updates}
        with lab.reporter.progress("rounds", rounds) as counter:
            for turn in range(rounds):
                for key, one in updates.items():
                    lab.check_stop()
                    seconds[key].append(timed(one, lab.device))
                counter.update(turn + 1)
        return seconds

    if lab.time_left() > 0:
        measure(1)  # the first pass allocates
    seconds = lab.within_budget(measure, ROUNDS) or {}
    medians = {key: 1000 * statistics.median(times) for key, times in seconds.items()}
    hard, soft = systems.VMA.key, systems.SOFT_K1.key
    rows = [_crossing_row(medians, hard, soft)]
    for system in SYSTEMS:
        samples = configs[system.key].objective.samples
        rows += [
            Row(
                f"{slots} slots", medians.get((system.key, slots)), unit="ms",
                group=f"an update of {_name(system, samples)}",
            )
            for slots in SLOTS
        ]  # fmt: skip
    rounds = len(next(iter(seconds.values()))) if seconds else 0
    model = configs[hard].model
    notes = [
        f"medians of {rounds} rounds in turns on {lab.device}, {torch.get_num_threads()} threads; the paper's network, "
        f"{model.size[0]}×{model.size[1]} random pixels, {TARGETS} targets, Adam included; fresh weights, so that "
        "nearly all addresses drawn differ: hard addressing's most expensive case",
        "soft attention here mixes features of slots that were encoded once an update, all with their gradient; hard "
        "addressing encodes keys of all slots, and the rest of those alone that were drawn",
    ]
    data = {f"{key}, {slots} slots": times for (key, slots), times in seconds.items()}
    written = figures.save(_figure(medians, configs), lab.out / "speed") if medians else []
    return Result(rows, notes, written, {"seconds": data})


def update(config: Config, slots: int, device: torch.device) -> Callable[[], None]:
    """A training step on random images with that many slots in memory."""
    model = build_model(config, device)
    estimator = estimator_for(config.objective, model.addressed)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.optimiser.learning_rate, fused=True)
    draw = torch.Generator().manual_seed(slots)
    images = (torch.rand(TARGETS + slots, 1, *config.model.size, generator=draw) < INK).float().to(device)
    targets, memory = images[:TARGETS], images[TARGETS:]

    def step() -> None:
        read = model.read(memory)
        addressing = model.address(targets, read)
        drawn = estimator.draw(addressing)
        loss = -estimator.objective(drawn.terms(model, targets, read), addressing, drawn).surrogate.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds that a step takes, whatever the device has queued."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def crossing(slots: Sequence[int], hard: Sequence[float], soft: Sequence[float]) -> int | None:
    """The smallest number of slots from which on hard addressing is faster at all larger ones; None if it is not."""
    slower = [position for position, (ours, theirs) in enumerate(zip(hard, soft, strict=True)) if ours >= theirs]
    first = slower[-1] + 1 if slower else 0
    return slots[first] if first < len(slots) else None


def _crossing_row(medians: dict[tuple[str, int], float], hard: str, soft: str) -> Row:
    label = "K = 4 is faster than soft attention, K = 1, from"
    if not medians:
        return Row(label, paper=PAPER, unit="slots", note="no time left to measure it")
    found = crossing(SLOTS, [medians[hard, size] for size in SLOTS], [medians[soft, size] for size in SLOTS])
    if found is None:
        return Row(label, paper=PAPER, unit="slots", note=f"soft attention is faster up to {SLOTS[-1]} slots")
    note = f"measured at {', '.join(map(str, SLOTS))} slots"
    return Row(label, float(found), paper=PAPER, unit="slots", note=note)


def _name(system: systems.System, samples: int) -> str:
    kind = "hard addressing" if system is systems.VMA else "soft attention"
    return f"{kind}, K = {samples}"


def _figure(medians: dict[tuple[str, int], float], configs: dict[str, Config]) -> Figure:
    figure, axes = figures.new()
    for system in SYSTEMS:
        label = _name(system, configs[system.key].objective.samples)
        times = [medians[system.key, size] for size in SLOTS]
        axes.plot(SLOTS, times, **figures.STYLES[system.style].line(), label=label)
    axes.axvline(PAPER, **figures.OPTIMUM, label="paper: hard addressing faster from here")
    figures.counts_axis(axes, SLOTS)
    axes.set(xlabel="slots in memory, |M|", ylabel="time of an update, in ms", ylim=(0, None))
    figures.legend(axes)
    return figure
