"""Time of an update against the size of memory, hard addressing beside soft attention (section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from vmacore.bench.flops import Flops, Layers, Work, soft_attention_flops, total, vma_flops
from vmacore.bench.steps import training_step, warm_up
from vmacore.bench.timing import medians, timed
from vmacore.config import Config
from vmacore.experiments import figures, systems
from vmacore.experiments.lab import Lab
from vmacore.experiments.result import Result, Row
from vmacore.models import vma
from vmacore.runs.weights import build_model

SLOTS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
ROUNDS, TARGETS = 9, 32
PAPER = 48  # slots from which on hard addressing is faster
COUNTED = 4096  # slots up to which operations are compared


@dataclass(frozen=True)
class Contender:
    """What is timed, and how it is drawn."""

    key: str
    label: str
    config: Config
    style: int

    @property
    def samples(self) -> int:
        """K."""
        return self.config.objective.samples

    def flops(self, slots: int) -> dict[str, Flops]:
        """Operations that an update needs, by part."""
        work = Work.expected(TARGETS, slots, self.samples)
        return (vma_flops if self.config.model.system == "vma" else soft_attention_flops)(self.config.model, work)

    def needed(self, slots: int) -> float:
        """Operations that an update needs."""
        return total(self.flops(slots).values()).training


def contenders() -> list[Contender]:
    """Hard addressing, then soft attention: of one sample by features, as it was trained, and by pixels; of four."""
    vma, one, four = (system.plan.config() for system in (systems.VMA, systems.SOFT_K1, systems.SOFT))
    pixels = one.with_overrides(["model.read=pixels"])
    return [
        Contender("vma", f"hard addressing, K = {vma.objective.samples}", vma, systems.VMA.style),
        Contender("soft-k1", "soft attention, K = 1", one, systems.SOFT_K1.style),
        Contender("soft-k1-pixels", "soft attention, K = 1, pixels mixed", pixels, 2),
        Contender("soft", f"soft attention, K = {four.objective.samples}", four, systems.SOFT.style),
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
        *_reasons(hard, soft, pixels),
    ]
    data = {
        "seconds": {f"{key}, {slots} slots": one for (key, slots), one in seconds.items()},
        "operations": {one.key: {slots: one.needed(slots) for slots in SLOTS} for one in timing},
    }
    written = figures.save(_figure(times, timing), lab.out / "speed") if times else []
    return Result(rows, notes, written, data)


def crossing(slots: Sequence[int], hard: Sequence[float], soft: Sequence[float]) -> int | None:
    """The smallest number of slots from which on hard addressing is faster at all larger ones; None if it is not."""
    slower = [position for position, (ours, theirs) in enumerate(zip(hard, soft, strict=True)) if ours >= theirs]
    first = slower[-1] + 1 if slower else 0
    return slots[first] if first < len(slots) else None


def _crossing_row(times: dict[tuple[str, int], float], hard: Contender, soft: Contender) -> Row:
    label = f"hard addressing is faster than {soft.label}, from"
    if not times:
        return Row(label, paper=PAPER, unit="slots", note="no time left to measure it")
    found = crossing(SLOTS, [times[hard.key, size] for size in SLOTS], [times[soft.key, size] for size in SLOTS])
    if found is None:
        return Row(label, paper=PAPER, unit="slots", note=f"soft attention is faster up to {SLOTS[-1]} slots")
    note = f"measured at {', '.join(map(str, SLOTS))} slots"
    return Row(label, float(found), paper=PAPER, unit="slots", note=note)


def _reasons(hard: Contender, soft: Contender, pixels: Contender) -> list[str]:
    """Why the lines need not cross where the paper's do, in operations."""
    layers = Layers(hard.config.model)
    key = layers.embedding(vma.Options.of(hard.config.model).embedding).training / 1e6
    encoded = (layers.first + layers.template).training / 1e6
    drawn = TARGETS * hard.samples

    def anew(slots: int) -> float:
        """Soft attention that encodes every slot for every target."""
        parts = soft.flops(slots)
        return soft.needed(slots) + (TARGETS - 1) * parts["slots encoded"].training

    features, mixed, encoded_anew = (_cheaper(hard.needed, needed) for needed in (soft.needed, pixels.needed, anew))
    return [
        f"in operations needed, an update costs {_from(hard.needed)} GFLOP by hard addressing, {_from(soft.needed)} by "
        f"soft attention with K = 1, {_from(pixels.needed)} where it mixes pixels",
        f"why not {PAPER}: every slot costs either system its key, {key:.0f} MFLOP; beyond that it costs soft "
        f"attention {encoded:.0f} MFLOP to encode with its gradient and what mixing takes, and hard addressing nothing "
        f"unless it is drawn, which at most {drawn} slots are; against that stand {hard.samples} samples decoded and "
        f"recognised for 1. By operations hard addressing is cheaper {features} where features are mixed, {mixed} "
        f"where pixels are, and {encoded_anew} if soft attention encoded every slot anew for every target. The paper "
        "does not say what its soft attention encodes",
    ]


def _from(needed: Callable[[int], float]) -> str:
    first, last = needed(SLOTS[0]) / 1e9, needed(SLOTS[-1]) / 1e9
    return f"{first:.1f} ({SLOTS[0]} slots) to {last:.1f} ({SLOTS[-1]} slots)"


def _cheaper(hard: Callable[[int], float], soft: Callable[[int], float]) -> str:
    slots = range(1, COUNTED + 1)
    found = crossing(slots, [hard(size) for size in slots], [soft(size) for size in slots])
    return f"at no size up to {COUNTED} slots" if found is None else f"from {found} slots on"


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
