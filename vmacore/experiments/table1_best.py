"""The recipe of our own beside the VMA rows of table 1: without replacement, items of each class."""

from __future__ import annotations

import math

from vmacore.data.characters import Characters
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.paired import differences, flat
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import Found, System
from vmacore.experiments.table1 import CLASSES, ITEMS, PAPER, SEED, VMA, Setting, classes_label, sampler

# Trained on as images alone, with larger memories, a lower rate and what had fallen out of use brought back.
IMAGES = (
    "objective.trains=images",
    "objective.coarse_warmup=500",
    "episode.shots_between=[1,12]",
    "optimiser.learning_rate=1e-3",
    "optimiser.decay=0.6",
)
PLAN = Plan(
    "omniglot-gmn-best",
    "omniglot-gmn-best-revived",
    IMAGES,
    steps=3300,
    full=3300,
    init=Plan("omniglot-gmn-best", full=13_000),
    revive=True,
)
BEST = System("best", "omniglot-gmn-best", PLAN)
# A thousand samples of all targets would take hours: what they gain is measured on the first few of them.
FEW, MANY = (20, 600), (1000, 30)  # samples, targets


def run(lab: Lab) -> Result:
    """Train if need be, then a bound for every cell of the paper's."""
    found = systems.trained(lab, [BEST])
    config = BEST.plan.config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    rows = [row for C in CLASSES for items in ITEMS for row in _cell(lab, found, test, Setting(False, C > 1, C, items))]
    notes = [
        systems.describe(dataset, "test split", "without replacement", "averaged weights", f"seed {SEED}"),
        f"K = {FEW[0]}: {FEW[1]} targets, the same in all cells. K = {MANY[0]}: that, less what the same {MANY[1]} "
        f"targets gain from {FEW[0]} to {MANY[0]} samples; both errors are in its own",
        *systems.seeds_note(found),
    ]
    return Result(rows, notes)


def _cell(lab: Lab, found: Found, test: Characters, setting: Setting) -> list[Row]:
    """NLL with few samples of many targets, and what many samples make of it."""
    episodes = sampler(lab, test, setting)

    def scored(samples: int, targets: int) -> dict[str, Score]:
        return systems.scores(lab, found, episodes, samples=samples, episodes=targets, seed=SEED, fixed=True)

    label = f"{classes_label(setting.classes)}, {setting.items} a class"
    paper = PAPER[VMA, setting.classes][setting.items]
    in_time = lab.time_left() > 0
    few, many = (scored(*FEW), scored(*MANY)) if in_time else ({}, {})
    groups = [f"NLL, K = {samples}" for samples in (FEW[0], MANY[0])]
    if BEST.key not in few or BEST.key not in many:
        return [Row.of(found[BEST.key], label, group=group, paper=paper) for group in groups]
    base, more = few[BEST.key], many[BEST.key]
    # The targets of `many` are the first ones of `few`, and their paired gain varies far less than they do.
    first = scored(FEW[0], MANY[1])[BEST.key] if MANY[1] != FEW[1] else base
    gain = differences(first, more)
    gain_se = float(gain.std()) / math.sqrt(len(gain))
    note = f"KL_a {base.kl_address:.2f}, KL_z {base.kl_latent:.2f}"
    values = base.nll - float(gain.mean()), math.hypot(float(flat(base).std()) / math.sqrt(base.targets), gain_se)
    return [
        Row.of(found[BEST.key], label, base.nll, base.nll_se, group=groups[0], paper=paper, note=note),
        Row.of(found[BEST.key], label, *values, group=groups[1], paper=paper, note=f"gain {-float(gain.mean()):.2f}"),
    ]
