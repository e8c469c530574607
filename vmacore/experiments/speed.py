"""Time of an update against the size of memory, hard addressing beside soft attention (section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from vmacore.bench.steps import training_step, warm_up
from vmacore.bench.timing import medians, timed
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.contenders import Contender, crossing, reasons
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.runs.weights import build_model

SLOTS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
ROUNDS, TARGETS = 9, 32
PAPER = 48  # slots from which on hard addressing is faster


def contenders() -> list[Contender]:
    """Hard addressing, then soft attention: of one sample by features, as it was trained, and by pixels; of four."""
    vma, one, four = (system.plan.config() for system in (systems.VMA, systems.SOFT_K1, systems.SOFT))
    pixels = one.with_overrides(["model.read=pixels"])
    return [
        Contender("vma", f"hard addressing, K = {vma.objective.samples}", vma, systems.VMA.style, TARGETS),
        Contender("soft-k1", "soft attention, K = 1", one, systems.SOFT_K1.style, TARGETS),
        Contender("soft-k1-pixels", "soft attention, K = 1, pixels mixed", pixels, 2, TARGETS),
        Contender("soft", f"soft attention, K = {four.objective.samples}", four, systems.SOFT.style, TARGETS),
    ]


def run(lab: Lab) -> Result:
    """Time updates in turns, all systems and sizes within each round, so that drift hits them alike."""
    timing = contenders()
    updates = {
        (one.key, slots): training_step(
            build_model(one.config, lab.device), one.config, targets=TARGETS, slots=slots, device=lab.device
        )
        for one in timing
        for slots in SLOTS
    }

    def measure(rounds: int) -> dict[tuple[str, int], list[float]]:
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in updates}
        with lab.reporter.progress("rounds", rounds) as counter:
            for turn in range(rounds):
                for key, update in updates.items():
                    lab.check_stop()
                    seconds[key].append(timed(update, lab.device))
                counter.update(turn + 1)
        return seconds

    if lab.time_left() > 0:
        measure(warm_up(lab.device))
    seconds = lab.within_budget(measure, ROUNDS) or {}
    times = {key: 1000 * median for key, median in medians(seconds).items()}
    hard, soft, pixels, _ = timing
    rows = [_crossing_row(times, hard, soft), _crossing_row(times, hard, pixels)]
    for one in timing:
        rows += [
            Row(f"{slots} slots", times.get((one.key, slots)), unit="ms", group=f"an update of {one.label}")
            for slots in SLOTS
        ]
    rounds = len(next(iter(seconds.values()))) if seconds else 0
    model = hard.config.model
    notes = [
        f"medians of {rounds} rounds in turns on {lab.device}, {torch.get_num_threads()} threads; the paper's network, "
        f"{model.size[0]}×{model.size[1]} random pixels, {TARGETS} targets, Adam included; fresh weights, so that "
        "nearly all addresses drawn differ: hard addressing's most expensive case",
        "hard addressing encodes keys of all slots, and the rest of those alone that were drawn; soft attention mixes "
        "features of slots that were encoded once an update, all with their gradient, or pixels, and encodes each "
        "mixture",
        *reasons((hard, soft, pixels), SLOTS, PAPER),
    ]
    data = {
        "seconds": {f"{key}, {slots} slots": one for (key, slots), one in seconds.items()},
        "operations": {one.key: {slots: one.needed(slots) for slots in SLOTS} for one in timing},
    }
    written = figures.save(_figure(times, timing), lab.out / "speed") if times else []
    return Result(rows, notes, written, data)


def _crossing_row(times: dict[tuple[str, int], float], hard: Contender, soft: Contender) -> Row:
    label = f"hard addressing is faster than {soft.label}, from"
    if not times:
        return Row(label, paper=PAPER, unit="slots", note="no time left to measure it")
    found = crossing(SLOTS, [times[hard.key, size] for size in SLOTS], [times[soft.key, size] for size in SLOTS])
    if found is None:
        return Row(label, paper=PAPER, unit="slots", note=f"soft attention is faster up to {SLOTS[-1]} slots")
    note = f"measured at {', '.join(map(str, SLOTS))} slots"
    return Row(label, float(found), paper=PAPER, unit="slots", note=note)


def _figure(times: dict[tuple[str, int], float], timing: Sequence[Contender]) -> Figure:
    figure, (measured, needed) = figures.new(1, 2, width=9.6)
    for one in timing:
        style = figures.STYLES[one.style].line()
        measured.plot(SLOTS, [times[one.key, size] for size in SLOTS], **style, label=one.label)
        needed.plot(SLOTS, [one.needed(size) / 1e9 for size in SLOTS], **style, label=one.label)
    for axes, label in ((measured, "time of an update, ms"), (needed, "operations an update needs, GFLOP")):
        axes.axvline(PAPER, **figures.OPTIMUM, label="paper: hard addressing faster from here")
        figures.counts_axis(axes, SLOTS[::2])
        axes.set(xlabel="slots in memory, |M|", ylabel=label, ylim=(0, None))
    figures.legend(measured)
    return figure
