"""Where the nats go with more drawings of a class in memory (figure 4B).

The paper trains a model for each memory size. Here each starts from the one of 8 × 4 and is trained on for a short
while with its own memory, 8 × 4 itself too, so that all five have had the same number of updates. Beside them one of
8 × 1, where memories differ most, is trained from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Asked, Memory
from vmacore.experiments.lab.paired import class_se
from vmacore.experiments.lab.plans import FULL, Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import Study
from vmacore.experiments.lab.systems import VMA, System

CLASSES, SHOTS = 8, (1, 2, 4, 8, 16)
TUNING = 20_000  # updates with a memory size of its own
SAMPLES, TARGETS, ROUNDS = 4, 4, 10
TOTAL = 144  # test classes, asked for once a round
PAPER: dict[int, dict[str, float | str]] = {
    1: {"nll": 75.1, "kl_address": 2.0, "kl_latent": 28.2},
    16: {"nll": "69.1, its best", "kl_address": 4.5, "kl_latent": 21.8},
}
PAPER_ENDS = (75.1, 69.1)  # NLL, with the fewest and the most drawings
PARTS = {"nll": f"NLL, K = {SAMPLES}", "kl_address": "KL_a", "kl_latent": "KL_z", "reconstruction": "reconstruction"}

Measured = Mapping[Memory, Score]


def tuned(shots: int) -> System:
    """The model of 8 × 4, trained on with `shots` drawings of each class in memory."""
    return _with_memory(f"omniglot-8x{shots}", f"trained on with 8 × {shots}", shots, steps=TUNING, init=VMA.plan)


def _with_memory(name: str, label: str, shots: int, **training: Any) -> System:
    return System(name, label, Plan("omniglot", name, (*VMA.plan.overrides, f"episode.shots={shots}"), **training))


FROM_START = _with_memory("omniglot-8x1-start", "8 × 1 from the start", SHOTS[0], steps=FULL)


def run(lab: Lab) -> Result:
    """Tune the model for each memory size, then score each with its own memory, and that of 8 × 4 with all."""
    study = Study(lab, VMA)
    own = {shots: tuned(shots) for shots in SHOTS}
    study.train(*own.values())
    study.train(FROM_START)
    groups = {
        "a model for each memory, trained on from 8 × 4": [Memory(own[shots].key, CLASSES, shots) for shots in SHOTS],
        "the model of 8 × 4 with every memory": [Memory(VMA.key, CLASSES, shots) for shots in SHOTS],
        "a model of 8 × 1 from the start": [Memory(FROM_START.key, CLASSES, SHOTS[0])],
    }
    asked = Asked(TOTAL, TARGETS, SAMPLES, ROUNDS)
    measured = study.nested([memory for memories in groups.values() for memory in memories], asked)
    classes = asked.labels(study.characters(), measured)
    rows = []
    for heading, memories in groups.items():
        missing = [memory for memory in memories if memory not in measured]
        rows += [_row(study, measured, memory, "nll", heading, classes) for memory in missing]
        there = [memory for memory in memories if memory in measured]
        rows += [_row(study, measured, memory, part, heading, classes) for part in PARTS for memory in there]
    sizes = {heading: memories for heading, memories in groups.items() if len(memories) > 1}
    shown = {heading: memories for heading, memories in sizes.items() if measured.keys() >= set(memories)}
    notes = study.notes(
        ("test split", "averaged weights", f"K = {SAMPLES}"),
        f"{len(classes):,} targets, the same for every memory size; standard errors are over classes",
        f"a model trained on with its own memory began with the weights of 8 × 4 ({study.first(VMA).source}), and its "
        "steps are those after; the paper trained each from the start",
    )
    return Result(rows, notes, figures.save(_figure(measured, shown), lab.out / "fig4b") if shown else [])


def _row(study: Study, measured: Measured, memory: Memory, part: str, heading: str, classes: list[int]) -> Row:
    score = measured.get(memory)
    return Row.of(
        study.found[memory.system],
        f"8 × {memory.shots}: {PARTS[part]}",
        getattr(score, part) if score else None,
        class_se(score, classes) if score and part == "nll" else None,
        paper=None if memory.system == VMA.key else PAPER.get(memory.shots, {}).get(part),
        group=heading,
    )


def _figure(measured: Measured, shown: Mapping[str, list[Memory]]) -> Figure:
    """Above, KL_z and KL_a for each memory size; below, the bound."""
    width = 1.2 + 3.6 * len(shown)
    figure, panels = figures.new(2, len(shown), width=width, height=5.4, sharey="row", squeeze=False)
    for (heading, memories), bars, line in zip(shown.items(), panels[0], panels[1], strict=True):
        scores = [measured[memory] for memory in memories]
        parts = (
            figures.Bars("KL$_z$", [score.kl_latent for score in scores], figures.COLOURS[5]),
            figures.Bars("KL$_a$", [score.kl_address for score in scores], figures.COLOURS[6]),
        )
        places = range(len(memories))
        highest = figures.stacked(bars, parts)
        line.plot(places, [score.nll for score in scores], **figures.STYLES[0].line(), label="NLL")
        if memories[0].system != VMA.key:
            line.plot([places[0], places[-1]], PAPER_ENDS, "k*", markersize=9, label="NLL, paper")
        for axes in (bars, line):
            axes.set_xticks(places, [str(memory.shots) for memory in memories])
            axes.set_xlim(-0.6, len(memories) - 0.4)
            axes.grid(False, axis="x")
        line.set_xlabel("drawings of each of 8 classes in memory")
        bars.set_title(heading, fontsize=9)
        bars.set_ylim(0, 1.2 * max(highest, bars.get_ylim()[1] / 1.2))  # room for the legend, in every panel
        figures.legend(bars, loc="upper right", ncols=2)
        figures.legend(line)
    panels[0][0].set_ylabel("cost in nats")
    panels[1][0].set_ylabel(f"test NLL, K = {SAMPLES}, in nats")
    return figure
