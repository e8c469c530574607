"""Where the nats go with more drawings of a class in memory (figure 4B).

The paper trains a model for each memory size. Here each starts from the one of 8 × 4 and is trained on for a short
while with its own memory, 8 × 4 itself too, so that all five have had the same number of updates.
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, nested, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Memory
from vmacore.experiments.lab.paired import class_se
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import Found, System

CLASSES, SHOTS = 8, (1, 2, 4, 8, 16)
TUNING = 20_000  # updates with a memory size of its own
SAMPLES, TARGETS, ROUNDS, SEED = 4, 4, 10, 0
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
    name = f"omniglot-8x{shots}"
    plan = Plan("omniglot", name, (f"episode.shots={shots}",), steps=TUNING, init=systems.VMA_3E4.plan)
    return System(name, f"trained on with 8 × {shots}", plan)


def run(lab: Lab) -> Result:
    """Tune the model for each memory size, then score each with its own memory, and that of 8 × 4 with all."""
    base = systems.trained(lab, [systems.VMA])
    own = {shots: tuned(shots) for shots in SHOTS}
    found: Found = {**base, **systems.trained(lab, list(own.values()))}
    config = systems.VMA.plan.config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    memories = [Memory(own[shots].key, CLASSES, shots) for shots in SHOTS]
    same = [Memory(systems.VMA.key, CLASSES, shots) for shots in SHOTS]
    measured = nested.measure(
        lab,
        found,
        [*memories, *same],
        test,
        total=TOTAL,
        targets=TARGETS,
        samples=SAMPLES,
        rounds=ROUNDS,
        seed=SEED,
    )
    classes = nested.target_labels(test, TOTAL, TARGETS, SEED, measured)
    groups = {
        "a model for each memory, trained on from 8 × 4": memories,
        "the model of 8 × 4 with every memory": same,
    }
    rows = []
    for heading, several in groups.items():
        missing = [memory for memory in several if memory not in measured]
        rows += [_row(found, measured, memory, "nll", heading, classes) for memory in missing]
        rows += [
            _row(found, measured, memory, part, heading, classes)
            for part in PARTS
            for memory in several
            if memory in measured
        ]
    notes = [
        systems.describe(dataset, "test split", "averaged weights", f"K = {SAMPLES}", f"seed {SEED}"),
        f"{len(classes):,} targets, the same for every memory size; standard errors are over classes",
        f"a model trained on with its own memory began with the weights of 8 × 4 at 3e-4, and its steps are those "
        f"after; the model of 8 × 4 is another ({base['vma'][0].source}); the paper trained each from the start",
        *systems.seeds_note(found),
    ]
    shown = {heading: several for heading, several in groups.items() if several[0] in measured}
    written = figures.save(_figure(measured, shown), lab.out / "fig4b") if measured else []
    return Result(rows, notes, written)


def _row(found: Found, measured: Measured, memory: Memory, part: str, heading: str, classes: list[int]) -> Row:
    one = measured.get(memory)
    return Row.of(
        found[memory.system],
        f"8 × {memory.shots}: {PARTS[part]}",
        getattr(one, part) if one else None,
        class_se(one, classes) if one and part == "nll" else None,
        paper=None if memory.system == systems.VMA.key else PAPER.get(memory.shots, {}).get(part),
        group=heading,
    )


def _figure(measured: Measured, shown: Mapping[str, list[Memory]]) -> Figure:
    """Above, KL_z and KL_a for each memory size; below, the bound."""
    width = 1.2 + 3.6 * len(shown)
    figure, panels = figures.new(2, len(shown), width=width, height=5.4, sharey="row", squeeze=False)
    parts = (("kl_latent", "KL$_z$", figures.COLOURS[5]), ("kl_address", "KL$_a$", figures.COLOURS[6]))
    for (heading, memories), bars, line in zip(shown.items(), panels[0], panels[1], strict=True):
        places = range(len(memories))
        bottom = [0.0] * len(memories)
        for name, label, colour in parts:
            heights = [getattr(measured[memory], name) for memory in memories]
            bars.bar(places, heights, 0.66, bottom, label=label, color=colour, edgecolor="0.25", linewidth=0.6)
            for place, start, height in zip(places, bottom, heights, strict=True):
                bars.text(place, start + height / 2, f"{height:.1f}", ha="center", va="center", fontsize=8)
            bottom = [start + height for start, height in zip(bottom, heights, strict=True)]
        line.plot(places, [measured[memory].nll for memory in memories], **figures.STYLES[0].line(), label="NLL")
        if memories[0].system != systems.VMA.key:
            line.plot([places[0], places[-1]], PAPER_ENDS, "k*", markersize=9, label="NLL, paper")
        for axes in (bars, line):
            axes.set_xticks(places, [str(memory.shots) for memory in memories])
            axes.set_xlim(-0.6, len(memories) - 0.4)
            axes.grid(False, axis="x")
        line.set_xlabel("drawings of each of 8 classes in memory")
        bars.set_title(heading, fontsize=9)
        bars.set_ylim(0, 1.2 * max(*bottom, bars.get_ylim()[1] / 1.2))  # room for the legend, in every panel
        figures.legend(bars, loc="upper right", ncols=2)
        figures.legend(line)
    panels[0][0].set_ylabel("cost in nats")
    panels[1][0].set_ylabel(f"test NLL, K = {SAMPLES}, in nats")
    return figure
