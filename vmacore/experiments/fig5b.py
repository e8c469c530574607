"""All 144 test classes in memory, with more and more drawings of each (figure 5B).

Models were trained with {1, 4, 8} drawings a class; those of `fig4b` stand for them. No drawing is the plain VAE.
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.fig4b import tuned
from vmacore.experiments.lab import figures
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Asked, Memory
from vmacore.experiments.lab.paired import class_se
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import Study
from vmacore.experiments.lab.systems import VAE, VMA

CLASSES, SHOTS = 144, (1, 2, 4, 8, 16)
TRAINED = (1, 4, 8)
SAMPLES, TARGETS, ROUNDS = 4, 4, 6

Measured = Mapping[Memory, Score]


def run(lab: Lab) -> Result:
    """Score the models of several training memories with all classes in memory, and the VAE on the same targets."""
    study = Study(lab, VMA, VAE)
    models = {shots: tuned(shots) for shots in TRAINED}
    study.train(*models.values())
    labels = {VMA: "trained with 8 × 4"} | {system: system.label for system in models.values()}
    lines = {system: [Memory(system.key, CLASSES, shots) for shots in SHOTS] for system in labels}
    none = Memory(VAE.key, CLASSES, 1)  # the VAE reads no slot
    asked = Asked(CLASSES, TARGETS, SAMPLES, ROUNDS)
    measured = study.nested([none, *(memory for line in lines.values() for memory in line)], asked)
    classes = asked.labels(study.characters(), measured)

    def row(memory: Memory, label: str, group: str, paper: float | None = None) -> Row:
        score = measured.get(memory)
        values = (score.nll, class_se(score, classes)) if score else (None, None)
        return Row.of(study.found[memory.system], label, *values, group=group, paper=paper)

    rows = [row(none, "none of any: the plain VAE", "NLL: no memory", paper=90.8)]
    shown = {labels[system]: line for system, line in lines.items() if line[0] in measured}
    for system, label in labels.items():
        group = f"NLL: {label}"
        if label in shown:
            rows += [row(memory, f"{memory.shots} of each, {memory.slots} slots", group) for memory in lines[system]]
        else:
            rows.append(study.row(system, label, group=group))
    notes = study.notes(
        ("test split", "averaged weights", f"K = {SAMPLES}"),
        f"{CLASSES} classes in memory; {len(classes):,} targets, the same everywhere; standard errors are over classes",
        f"models of another memory than 8 × 4 ({study.first(VMA).source}) were trained on from 8 × 4",
    )
    written = figures.save(_figure(measured, none, shown), lab.out / "fig5b") if measured else []
    return Result(rows, notes, written)


def _figure(measured: Measured, none: Memory, shown: Mapping[str, list[Memory]]) -> Figure:
    figure, axes = figures.new()
    for style, (label, line) in zip(figures.STYLES, shown.items(), strict=False):
        axes.plot(range(1, 1 + len(line)), [measured[memory].nll for memory in line], **style.line(), label=label)
    if none in measured:
        axes.plot([0], [measured[none].nll], "k*", markersize=10, label="plain VAE, no memory")
    axes.set_xticks(range(1 + len(SHOTS)), ["0", *map(str, SHOTS)])
    axes.set(xlabel=f"drawings of each of {CLASSES} classes in memory", ylabel=f"test NLL, K = {SAMPLES}, in nats")
    figures.legend(axes)
    return figure
