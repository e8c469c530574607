"""Train to recall: every target is a slot of the memory, bit for bit (section 4.1, figure 2A).

The best that can be done is to find the slot: NLL = KL_a = log |M|, with nothing left for z or for the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from vmacore.data.characters import Characters
from vmacore.data.episodes import RecallSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments import figures
from vmacore.experiments.lab import Lab
from vmacore.experiments.plans import Plan, Trained
from vmacore.experiments.result import Result, Row
from vmacore.experiments.systems import describe

RECIPE, SLOTS, MOST = "mnist-recall", 256, 2048  # |M| of the paper's training and of its test
SIZES = (16, 64, 256, 512)  # |M| in training
LARGE, LARGE_STEPS, LARGE_SEEDS = 1024, 10_000, 3
SKIP_STEPS = 10_000
TEST_SIZES = (16, 64, 256, 512, 2048, 8192)
SAMPLES, EPISODES, TARGETS, SEED = 4, 100, 64, 0  # a target that all samples miss costs hundreds of nats
# Converged: the three within these of the optimum, in the same validation of the averaged weights.
WITHIN = {"kl_address": 0.1, "kl_latent": 0.1, "nll": 0.5}


@dataclass(frozen=True)
class Variant:
    """A change to the recipe, and which of `figures.STYLES` it is drawn in."""

    label: str
    plan: Plan
    style: int = 0


def plan(slots: int = SLOTS, change: str = "", *overrides: str, steps: int | None = None, seed: int = 0) -> Plan:
    """The recipe with that size of memory in training, and what else `change` stands for."""
    parts = [str(slots)] if slots != SLOTS or change else []
    name = "-".join([RECIPE, *parts, *([change] if change else [])])
    settings = (f"episode.slots={slots}",) if slots != SLOTS else ()
    return Plan(RECIPE, name, (*settings, *overrides), seed=seed, steps=steps)


def large(change: str, *overrides: str, init: Plan | None = None) -> Plan:
    """|M| = 1024 with a change to the recipe."""
    settings = (f"episode.slots={LARGE}", *overrides)
    name = f"{RECIPE}-{LARGE}" + (f"-{change}" if change else "")
    return Plan(RECIPE, name, settings, steps=LARGE_STEPS, init=init)


SKIPS = (
    Variant("the slot's own pixels, with a gain each", plan(), 0),
    Variant("the slot through a matrix", plan(SLOTS, "matrix", "model.skip=matrix", steps=SKIP_STEPS), 1),
    Variant("no slot at the pixels", plan(SLOTS, "none", 'model.skip="none"', steps=SKIP_STEPS), 2),
)
LARGES = (
    Variant("as the recipe", large("")),
    Variant("from the weights of |M| = 256", large(f"from-{SLOTS}", init=plan())),
    Variant("h and h_q tied", large("tied", "model.tied=true")),
    Variant("learning rate 1e-3", large("fast", "optimiser.learning_rate=1e-3")),
)


def run(lab: Lab) -> Result:
    """Train and measure the paper's size first, then what it depends on, as far as the time goes."""
    (main,) = lab.trained(plan())
    config = plan().config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    rows, scores = _recall(lab, main, dataset.train, test)
    curve = main.metrics("train")
    written = figures.save(_curve_figure(main, curve), lab.out / "fig2a") if curve else []

    sizes = {slots: lab.trained(plan(slots))[0] for slots in SIZES}
    skips = {one.label: lab.trained(one.plan)[0] for one in SKIPS}
    larges = {
        one.label: [lab.trained(one.plan.seeded(seed))[0] for seed in range(max(LARGE_SEEDS, lab.seeds))]
        for one in LARGES
    }
    rows += [_size_row(slots, trained) for slots, trained in sizes.items()]
    rows += [_large_row(label, several) for label, several in larges.items()]
    rows += [row for label, trained in skips.items() for row in _skip_rows(label, trained)]
    if scores and main.metrics():
        written += figures.save(_depends_figure(scores, sizes, skips), lab.out / "fig2a-depends")
    notes = [
        describe(dataset, "averaged weights", f"K = {SAMPLES}", f"seed {SEED}"),
        f"M is drawn anew in every step and {TARGETS} of its slots are the targets, bit for bit; "
        f"{EPISODES} memories, in training 32 targets",
        "encoder and decoder of 256 and 128 units as in the paper; beside their logits enter the slot's own pixels, "
        "each times a learned gain (model.skip), since so few units cannot carry 784 pixels of a slot",
        "converged: in the same validation (training's |M|, validation images, 640 targets) "
        + ", ".join(f"{name} within {margin:g}" for name, margin in WITHIN.items())
        + " of log |M|, 0 and log |M|".replace("log |M|, 0 and log |M|", "the optimum"),
        f"|M| = {LARGE} 'from the weights of |M| = {SLOTS}': updates after those of |M| = {SLOTS}",
    ]
    data = {
        "curve": curve,
        "validation": {str(slots): trained.metrics() for slots, trained in sizes.items()},
        "skips": {label: trained.metrics() for label, trained in skips.items()},
        "large": {label: [one.metrics() for one in several] for label, several in larges.items()},
        "test_sizes": {str(slots): _parts(score) for slots, score in scores.items()},
    }
    return Result(rows, notes, written, data)


def converged(validation: Sequence[Mapping[str, Any]], slots: int) -> int | None:
    """The first step whose validation is within WITHIN of the optimum for |M| = slots; None if there is none."""
    best = {"kl_address": math.log(slots), "kl_latent": 0.0, "nll": math.log(slots)}
    steps = (row["step"] for row in validation if all(abs(row[key] - best[key]) <= WITHIN[key] for key in WITHIN))
    return next(steps, None)


def taken_over(validation: Sequence[Mapping[str, Any]], slots: int) -> int | None:
    """The first step whose validation has more nats in the address than in z, and over half of log |M|."""
    half = math.log(slots) / 2
    steps = (row["step"] for row in validation if row["kl_address"] > max(half, row["kl_latent"]))
    return next(steps, None)


def _recall(lab: Lab, main: Trained, training: Characters, test: Characters) -> tuple[list[Row], dict[int, Score]]:
    """Rows of figure 2A's model on training images and on test images, and its scores on test images by |M|."""

    def measured(characters: Characters, slots: int, share: float) -> Score | None:
        if main.model is None or slots > len(characters.images):
            return None
        targets = min(TARGETS, slots)
        sampler = RecallSampler(characters, n_slots=slots, n_target=targets, seed=SEED, device=lab.device)
        found = lab.scores({"": main.model}, sampler, samples=SAMPLES, episodes=EPISODES, seed=SEED, share=share)
        return found.get("")

    best = math.log(SLOTS)
    seen = measured(training, SLOTS, 0.2)
    group = f"|M| = {SLOTS}, training images in memory: log |M| = {best:.3f}"
    values = _parts(seen) if seen else {}
    rows = [
        Row.of(main, "NLL", values.get("nll"), seen.nll_se if seen else None, paper=best, group=group),
        Row.of(main, "KL_a", values.get("kl_address"), paper=best, group=group),
        Row.of(main, "KL_z", values.get("kl_latent"), paper=0.0, group=group),
        Row.of(main, "reconstruction", values.get("reconstruction"), paper=0.0, group=group),
    ]
    scores = {}
    for slots in TEST_SIZES:
        score = measured(test, slots, 0.3)
        if score:
            scores[slots] = score
        best = math.log(slots)
        note = f"KL_a {score.kl_address:.3f}, KL_z {score.kl_latent:.3f}" if score else ""
        rows += [
            Row.of(
                main,
                f"{slots} in memory, log |M| = {best:.3f}",
                *((score.nll, score.nll_se) if score else ()),
                paper=best if slots == MOST else None,
                group=f"NLL, test images in memory, trained with |M| = {SLOTS}",
                note=note,
            )
        ]
    return rows, scores


def _parts(score: Score) -> dict[str, float]:
    names = ("nll", "nll_se", "reconstruction", "kl_address", "kl_latent", "targets")
    return {name: getattr(score, name) for name in names}


def _size_row(slots: int, trained: Trained) -> Row:
    step = converged(trained.metrics(), slots)
    short = trained.model is not None and step is None
    return Row.of(
        trained,
        f"|M| = {slots}",
        step,
        paper="about 100,000" if slots == SLOTS else "grows with |M|",
        unit="updates",
        group="updates until converged, by |M| in training",
        note=f"not within {trained.step:,} updates: {_last(trained)}" if short else "",
    )


def _large_row(label: str, several: Sequence[Trained]) -> Row:
    """How many training seeds converge with |M| = 1024."""
    there = [one for one in several if one.model is not None]
    reached = [step for one in there if (step := converged(one.metrics(), LARGE)) is not None]
    after = f"after {', '.join(f'{step:,}' for step in reached)} updates; " if reached else ""
    return Row.of(
        several,
        label,
        float(len(reached)) if len(there) == len(several) else None,
        paper="sometimes fails above 512",
        unit="seeds",
        group=f"training seeds of {len(several)} that converge with |M| = {LARGE} in {LARGE_STEPS:,} updates",
        note=f"{after}at last {'; '.join(_last(one) for one in there)}" if there else "",
    )


def _skip_rows(label: str, trained: Trained) -> list[Row]:
    """What the memory carries after SKIP_STEPS updates, by how a slot enters at the pixels."""
    at = [row for row in trained.metrics() if row["step"] <= SKIP_STEPS]
    last = at[-1] if at else {}
    step = taken_over(trained.metrics(), SLOTS)
    took = f"the address takes over after {step:,} updates" if step else "the address has not taken over"
    group = f"KL_a after {last.get('step', SKIP_STEPS):,} updates, by how a slot enters at the pixels"
    note = f"NLL {last['nll']:.1f}, KL_z {last['kl_latent']:.2f}; {took}" if last else ""
    return [Row.of(trained, label, last.get("kl_address"), group=group, paper="–", note=note)]


def _last(trained: Trained) -> str:
    rows = trained.metrics()
    return f"NLL {rows[-1]['nll']:.2f}, KL_a {rows[-1]['kl_address']:.2f}" if rows else "never validated"


def _curve_figure(main: Trained, curve: Sequence[Mapping[str, Any]]) -> Figure:
    """Figure 2A: where the nats go in training; logarithmic, since the memory takes over early here."""
    figure, axes = figures.new()
    for name, label, style in (
        ("nll", f"NLL, K = {SAMPLES}", 0),
        ("kl_address", "KL_a", 1),
        ("kl_latent", "KL_z", 2),
        ("reconstruction", "reconstruction", 3),
    ):
        line = {**figures.STYLES[style].line(), "markevery": 0.15}
        axes.plot(*_binned(curve, name), label=f"{label}, training", **line)
    validation = main.metrics()
    axes.plot(
        [row["step"] for row in validation],
        [row["nll"] for row in validation],
        color="0.2",
        linestyle=":",
        label="NLL, averaged weights, validation images",
    )
    axes.axhline(math.log(SLOTS), **figures.OPTIMUM, label=f"log {SLOTS}")
    axes.set(xscale="log", yscale="log", xlabel="updates", ylabel="nats", ylim=(0.05, None))
    figures.legend(axes)
    return figure


def _binned(curve: Sequence[Mapping[str, Any]], name: str, per_decade: int = 16) -> tuple[list[float], list[float]]:
    """Updates and means of a column over stretches of equal length on a logarithmic axis."""
    bins: dict[int, list[Mapping[str, Any]]] = {}
    for row in curve:
        bins.setdefault(int(per_decade * math.log10(row["step"])), []).append(row)
    means = [[sum(row[key] for row in rows) / len(rows) for rows in bins.values()] for key in ("step", name)]
    return means[0], means[1]


def _depends_figure(scores: Mapping[int, Score], sizes: Mapping[int, Trained], skips: Mapping[str, Trained]) -> Figure:
    """NLL against |M| in testing; the way to the optimum for each |M| in training, and for each way of a slot."""
    figure, (left, middle, right) = figures.new(1, 3, width=12.0)
    left.plot(list(scores), [one.nll for one in scores.values()], **figures.STYLES[0].line(), label="NLL")
    left.plot(list(TEST_SIZES), [math.log(slots) for slots in TEST_SIZES], **figures.OPTIMUM, label="log |M|")
    figures.counts_axis(left, TEST_SIZES)
    left.set(xlabel="test images in memory", ylabel="nats", ylim=(0, None))
    figures.legend(left)
    for style, (slots, trained) in zip(figures.STYLES, sizes.items(), strict=False):
        _way(middle, trained, f"|M| = {slots}", style, lambda row, slots=slots: row["nll"] - math.log(slots))
    middle.set(xlabel="updates", ylabel="NLL − log |M|, in nats", xscale="log", yscale="log")
    for style, (label, trained) in zip(figures.STYLES, skips.items(), strict=False):
        _way(right, trained, label, style, lambda row: row["kl_address"])
    right.axhline(math.log(SLOTS), **figures.OPTIMUM, label=f"log {SLOTS}")
    right.set(xlabel="updates", ylabel="KL_a, in nats", ylim=(0, None), xlim=(0, SKIP_STEPS))
    for axes in (middle, right):
        figures.legend(axes)
    return figure


def _way(axes: Any, trained: Trained, label: str, style: figures.Style, value: Any) -> None:
    rows = trained.metrics()
    if rows:
        steps = [row["step"] for row in rows]
        axes.plot(steps, [value(row) for row in rows], **style.line(), markevery=0.15, label=label)
