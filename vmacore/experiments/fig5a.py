"""More and more classes in memory at test time, beside the optimum (figure 5A).

Targets stay the same while memory grows, and each target's memory at C classes is part of its memory at more. A perfect
reader pays log C nats on top of what a target costs when its own class alone is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Asked, Memory
from vmacore.experiments.lab.paired import class_se, differences
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import Study
from vmacore.experiments.lab.systems import System


@dataclass(frozen=True)
class Curve:
    """A system whose memory grows, with so many drawings of each class."""

    system: System
    shots: int
    style: int

    @property
    def label(self) -> str:
        return f"{self.system.label}, {self.shots} drawings a class"

    def memory(self, classes: int) -> Memory:
        return Memory(self.system.key, classes, self.shots)


CURVES = (
    Curve(systems.VMA, 4, 0),
    Curve(systems.VMA, 18, 5),
    Curve(systems.SOFT, 4, 1),
    Curve(systems.SOFT, 18, 6),
    Curve(systems.SOFT_2X16, 16, 2),
)
CLASSES = (1, 2, 4, 8, 16, 48, 144)  # each divides the next, so that memories are nested; 144 × 18 = 2592 slots
SAMPLES, TARGETS, ROUNDS = 4, 2, 6

Measured = Mapping[Memory, Score]


def run(lab: Lab) -> Result:
    """Train to equal steps, then score every memory of every curve on the same targets."""
    study = Study(lab, *dict.fromkeys(curve.system for curve in CURVES))
    asked = Asked(CLASSES[-1], TARGETS, SAMPLES, ROUNDS)
    measured = study.nested([curve.memory(count) for curve in CURVES for count in CLASSES], asked)
    classes = asked.labels(study.characters(), measured)
    there = [curve for curve in CURVES if curve.memory(1) in measured]
    rows = [_excess_row(study, measured, curve, classes) for curve in there]
    for curve in CURVES:
        group = f"NLL: {curve.label}"
        if curve not in there:
            rows.append(study.row(curve.system, curve.label, group=group))
            continue
        for memory in map(curve.memory, CLASSES):
            values = measured[memory].nll, class_se(measured[memory], classes)
            label = f"C = {memory.classes}, {memory.slots} slots"
            rows.append(Row.of(study.found[curve.system.key], label, *values, group=group))
    notes = study.notes(
        ("test split", "averaged weights", f"K = {SAMPLES}"),
        f"{len(classes):,} targets, {TARGETS} of each of {CLASSES[-1]} classes a round; the same for every memory of a "
        "curve, and nested memories: with a flat p(a) the exact NLL would never exceed the dashed line",
        "standard errors are over classes",
    )
    written = figures.save(_figure(study, measured, there), lab.out / "fig5a") if measured else []
    nll = {curve.label: {str(count): measured[curve.memory(count)].nll for count in CLASSES} for curve in there}
    return Result(rows, notes, written, nll)


def _excess_row(study: Study, measured: Measured, curve: Curve, classes: list[int]) -> Row:
    """How far the largest memory is above what a perfect reader would pay."""
    count = CLASSES[-1]
    difference = differences(measured[curve.memory(count)], measured[curve.memory(1)]) - math.log(count)
    return Row.of(
        study.found[curve.system.key],
        curve.label,
        float(difference.mean()),
        class_se(difference, classes),
        paper="near 0" if curve.system is systems.VMA else "far above",
        group=f"NLL above the optimum with {count} classes in memory",
    )


def _figure(study: Study, measured: Measured, there: Sequence[Curve]) -> Figure:
    figure, axes = figures.new(width=6.6, height=4.6)
    for curve in there:
        style = figures.STYLES[curve.style]
        nll = [measured[curve.memory(count)].nll for count in CLASSES]
        steps = min(one.updates for one in study.found[curve.system.key])
        axes.plot(CLASSES, nll, **style.line(), label=f"{curve.label} ({steps:,} updates)")
        optimum = [nll[0] + math.log(count) for count in CLASSES]
        axes.plot(CLASSES, optimum, **{**figures.OPTIMUM, "color": style.colour}, alpha=0.75)
    axes.plot([], [], **figures.OPTIMUM, label="optimum: NLL of one class + log C")
    figures.counts_axis(axes, CLASSES)
    axes.set(xlabel="classes in memory, C", ylabel=f"test NLL, K = {SAMPLES}, in nats")
    figures.legend(axes)
    return figure
