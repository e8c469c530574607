"""Train to recall: every target is a slot of the memory, bit for bit (section 4.1, figure 2A).

The best that can be done is to find the slot: NLL = KL_a = log |M|, with nothing left for z or for the pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vmacore.data.characters import Characters
from vmacore.episodes.recall import RecallSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, recall, recall_figures
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan, Trained
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED
from vmacore.experiments.lab.systems import describe

RECIPE, SLOTS, MOST = "mnist-recall", 256, 2048  # |M| of the paper's training and of its test
LARGE, LARGE_STEPS, LARGE_SEEDS = 1024, 12_000, 3
SIZES, TIED_SIZES = (64, 256, 512, LARGE), (32, 64, 256, 512, LARGE)  # |M| in training; 32 of them are targets
TIED_STEPS = LARGE_STEPS
SKIP_STEPS = 10_000
TEST_SIZES = (16, 64, 256, 512, 1024, 2048, 8192)
SAMPLES, EPISODES, TARGETS = 4, 100, 64  # a target that all samples miss costs hundreds of nats


@dataclass(frozen=True)
class Variant:
    """A change to the recipe."""

    label: str
    plan: Plan


def plan(slots: int = SLOTS, change: str = "", *overrides: str, steps: int | None = None) -> Plan:
    """The recipe with that size of memory in training, and what else `change` stands for."""
    parts = [str(slots)] if slots != SLOTS or change else []
    name = "-".join([RECIPE, *parts, *([change] if change else [])])
    settings = (f"episode.slots={slots}",) if slots != SLOTS else ()
    return Plan(RECIPE, name, (*settings, *overrides), steps=steps, last=True)


def tied(slots: int = SLOTS) -> Plan:
    """The same with one network for h and h_q."""
    return plan(slots, "tied", "model.tied=true", steps=TIED_STEPS)


def large(change: str, *overrides: str, init: Plan | None = None) -> Plan:
    """|M| = 1024 with a change to the recipe."""
    name = f"{RECIPE}-{LARGE}" + (f"-{change}" if change else "")
    return Plan(RECIPE, name, (f"episode.slots={LARGE}", *overrides), steps=LARGE_STEPS, last=True, init=init)


APART, TIED = "h and h_q apart", "h and h_q tied"
MAINS = (Variant(APART, plan()), Variant(TIED, tied()))
SKIPS = (
    Variant("the slot's own pixels, with a gain each", plan()),
    Variant("the slot through a matrix", plan(SLOTS, "matrix", "model.skip=matrix", steps=SKIP_STEPS)),
    Variant("no slot at the pixels", plan(SLOTS, "none", 'model.skip="none"', steps=SKIP_STEPS)),
)
LARGES = (
    Variant(f"{APART}, as the recipe", large("")),
    Variant(TIED, large("tied", "model.tied=true")),
    Variant(f"{APART}, from the weights of |M| = {SLOTS}", large(f"from-{SLOTS}", init=plan())),
)


def run(lab: Lab) -> Result:
    """Train and measure the paper's size first, then what it depends on, as far as the time goes."""
    mains = {variant.label: lab.trained(variant.plan)[0] for variant in MAINS}
    config = plan().config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    rows, scores = [], {}
    for label, main in mains.items():
        measured, scores[label] = _recall(lab, label, main, dataset.train, test)
        rows += measured
    curves = {label: main for label, main in mains.items() if main.metrics("train")}
    written = figures.save(recall_figures.curves(curves, SLOTS, SAMPLES), lab.out / "fig2a") if curves else []

    sizes = {
        APART: {slots: lab.trained(large("") if slots == LARGE else plan(slots))[0] for slots in SIZES},
        TIED: {slots: lab.trained(tied(slots))[0] for slots in TIED_SIZES},
    }
    seeds = range(max(LARGE_SEEDS, lab.seeds))
    larges = {one.label: [lab.trained(one.plan.seeded(seed))[0] for seed in seeds] for one in LARGES}
    skips = {variant.label: lab.trained(variant.plan)[0] for variant in SKIPS}
    rows += [
        recall.size_row(label, slots, trained, "about 100,000" if slots == SLOTS else "grows with |M|")
        for label, several in sizes.items()
        for slots, trained in several.items()
    ]
    rows += [recall.seeds_row(label, LARGE, several, LARGE_STEPS) for label, several in larges.items()]
    rows += [recall.skip_row(label, SLOTS, trained, SKIP_STEPS) for label, trained in skips.items()]
    if curves and any(scores.values()):
        figure = recall_figures.depends(scores, sizes, skips, slots=SLOTS, skip_steps=SKIP_STEPS, tested=TEST_SIZES)
        written += figures.save(figure, lab.out / "fig2a-depends")
    notes = [
        describe(dataset, "averaged weights", f"K = {SAMPLES}", f"seed {SEED}"),
        f"M is drawn anew in every step and {TARGETS} of its slots are the targets, bit for bit; "
        f"{EPISODES} memories, in training 32 targets",
        "encoder and decoder of 256 and 128 units as in the paper; beside their logits enter the slot's own pixels, "
        "each times a learned gain (model.skip), since so few units cannot carry 784 pixels of a slot",
        recall.CONVERGED,
    ]
    data = {
        "curves": {label: main.metrics("train") for label, main in curves.items()},
        "validation": {
            label: {str(slots): one.metrics() for slots, one in several.items()} for label, several in sizes.items()
        },
        "skips": {label: trained.metrics() for label, trained in skips.items()},
        "large": {label: [one.metrics() for one in several] for label, several in larges.items()},
        "test_sizes": {
            label: {str(slots): recall.parts(score) for slots, score in several.items()}
            for label, several in scores.items()
        },
    }
    return Result(rows, notes, written, data)


def _recall(
    lab: Lab, label: str, main: Trained, training: Characters, test: Characters
) -> tuple[list[Row], dict[int, Score]]:
    """Rows of figure 2A's model on training images and on test images, and its scores on test images by |M|."""

    def measured(characters: Characters, slots: int, share: float) -> Score | None:
        if main.model is None or slots > len(characters.images):
            return None
        targets = min(TARGETS, slots)
        sampler = RecallSampler(characters, n_slots=slots, n_target=targets, seed=SEED, device=lab.device)
        scores = lab.scores({"": main.model}, sampler, samples=SAMPLES, episodes=EPISODES, seed=SEED, share=share)
        return scores.get("")

    best = math.log(SLOTS)
    seen = measured(training, SLOTS, 0.2)
    group = f"{label}: |M| = {SLOTS}, training images in memory, log |M| = {best:.3f}"
    values = recall.parts(seen) if seen else {}
    rows = [
        Row.scored(main, "NLL", seen, paper=best, group=group),
        Row.of(main, "KL_a", values.get("kl_address"), paper=best, group=group),
        Row.of(main, "KL_z", values.get("kl_latent"), paper=0.0, group=group),
        Row.of(main, "reconstruction", values.get("reconstruction"), paper=0.0, group=group),
    ]
    group = f"{label}: NLL, test images in memory, trained with |M| = {SLOTS}"
    scores = {slots: measured(test, slots, 0.3) for slots in TEST_SIZES}
    for slots, score in scores.items():
        best = math.log(slots)
        note = f"KL_a {score.kl_address:.3f}, KL_z {score.kl_latent:.3f}" if score else ""
        paper, name = best if slots == MOST else None, f"{slots} in memory, log |M| = {best:.3f}"
        rows.append(Row.scored(main, name, score, paper=paper, group=group, note=note))
    return rows, {slots: score for slots, score in scores.items() if score}
