"""All 144 test classes in memory, with more and more drawings of each (figure 5B).

Models were trained with {1, 4, 8} drawings a class; those of `fig4b` stand for them. No drawing is the plain VAE.
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.fig4b import tuned
from vmacore.experiments.lab import figures, nested, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Memory
from vmacore.experiments.lab.paired import class_se
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import VAE, VMA, Found

CLASSES, SHOTS = 144, (1, 2, 4, 8, 16)
TRAINED = (1, 4, 8)
SAMPLES, TARGETS, ROUNDS, SEED = 4, 4, 6, 0

Measured = Mapping[Memory, Score]


def run(lab: Lab) -> Result:
    """Score the models of several training memories with all classes in memory, and the VAE on the same targets."""
    first = systems.trained(lab, [VMA, VAE])
    models = {shots: tuned(shots) for shots in TRAINED}
    found: Found = {**first, **systems.trained(lab, list(models.values()))}
    config = VMA.plan.config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    lines = {system: [Memory(system.key, CLASSES, shots) for shots in SHOTS] for system in (VMA, *models.values())}
    none = Memory(VAE.key, CLASSES, 1)  # the VAE reads no slot
    measured = nested.measure(
        lab,
        found,
        [none, *(memory for line in lines.values() for memory in line)],
        test,
        total=CLASSES,
        targets=TARGETS,
        samples=SAMPLES,
        rounds=ROUNDS,
        seed=SEED,
    )
    classes = nested.target_labels(test, CLASSES, TARGETS, SEED, measured)
    labels = {system: system.label if system is not VMA else "trained with 8 × 4" for system in lines}
    rows = [_row(found, measured, none, "none of any: the plain VAE", "NLL: no memory", classes, paper=90.8)]
    for system, line in lines.items():
        heading = f"NLL: {labels[system]}"
        if line[0] not in measured:
            rows.append(Row.of(found[system.key], labels[system], group=heading))
            continue
        rows += [
            _row(found, measured, memory, f"{memory.shots} of each, {memory.slots} slots", heading, classes)
            for memory in line
        ]
    notes = [
        systems.describe(dataset, "test split", "averaged weights", f"K = {SAMPLES}", f"seed {SEED}"),
        f"{CLASSES} classes in memory; {len(classes):,} targets, the same everywhere; standard errors are over classes",
        f"models of another memory than 8 × 4 ({first['vma'][0].source}) were trained on from 8 × 4 at 3e-4",
        *systems.seeds_note(found),
    ]
    shown = {labels[system]: line for system, line in lines.items() if line[0] in measured}
    written = figures.save(_figure(measured, none, shown), lab.out / "fig5b") if measured else []
    return Result(rows, notes, written)


def _row(
    found: Found,
    measured: Measured,
    memory: Memory,
    label: str,
    group: str,
    classes: list[int],
    paper: float | None = None,
) -> Row:
    one = measured.get(memory)
    values = (one.nll, class_se(one, classes)) if one else (None, None)
    return Row.of(found[memory.system], label, *values, group=group, paper=paper)


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
