"""The recipe of our own beside the VMA rows of table 1: without replacement, items of each class."""

from __future__ import annotations

import math

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.paired import differences, flat
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import Study
from vmacore.experiments.lab.systems import System
from vmacore.experiments.lab.table1_cells import CLASSES, ITEMS, PAPER, VMA, Setting, classes_label

BEST = System("best", "omniglot-gmn-best", Plan("omniglot-gmn-best", full=20_000))
# A thousand samples of all targets would take hours: what they gain is measured on the first few of them.
FEW, MANY = (20, 600), (1000, 30)  # samples, targets


def run(lab: Lab) -> Result:
    """Train if need be, then a bound for every cell of the paper's."""
    study = Study(lab, BEST)
    rows = [row for C in CLASSES for items in ITEMS for row in _cell(study, Setting(False, C > 1, C, items))]
    notes = study.notes(
        ("test split", "without replacement", "averaged weights"),
        f"K = {FEW[0]}: {FEW[1]} targets, the same in all cells. K = {MANY[0]}: that, less what the same {MANY[1]} "
        f"targets gain from {FEW[0]} to {MANY[0]} samples; both errors are in its own",
    )
    return Result(rows, notes)


def _cell(study: Study, setting: Setting) -> list[Row]:
    """NLL with few samples of many targets, and what many samples make of it."""
    sampler = setting.sampler(study.characters(), study.lab.device)

    def scored(samples: int, targets: int) -> Score | None:
        return study.scores(sampler, samples=samples, episodes=targets, fixed=True).get(BEST.key)

    label = f"{classes_label(setting.classes)}, {setting.items} a class"
    paper = PAPER[VMA, setting.classes][setting.items]
    few, many = (scored(*FEW), scored(*MANY)) if study.lab.time_left() > 0 else (None, None)
    groups = [f"NLL, K = {samples}" for samples in (FEW[0], MANY[0])]
    if few is None or many is None:
        return [study.row(BEST, label, group=group, paper=paper) for group in groups]
    # The targets of `many` are the first ones of `few`, and their paired gain varies far less than they do.
    first = (scored(FEW[0], MANY[1]) if MANY[1] != FEW[1] else None) or few
    gain = differences(first, many)
    gain_se = float(gain.std()) / math.sqrt(len(gain))
    note = f"KL_a {few.kl_address:.2f}, KL_z {few.kl_latent:.2f}"
    values = few.nll - float(gain.mean()), math.hypot(float(flat(few).std()) / math.sqrt(few.targets), gain_se)
    gained = f"gain {-float(gain.mean()):.2f}"
    return [
        study.row(BEST, label, few, group=groups[0], paper=paper, note=note),
        Row.of(study.found[BEST.key], label, *values, group=groups[1], paper=paper, note=gained),
    ]
