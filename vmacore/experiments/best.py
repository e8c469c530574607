"""The recipe of our own beside the paper's best numbers, on the test alphabets of 45-5."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.accuracy import Z95
from vmacore.evaluation.classification import Classifier
from vmacore.evaluation.errors import target_classes
from vmacore.experiments.classification import PAPER
from vmacore.experiments.lab import accuracy
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Asked, Memory
from vmacore.experiments.lab.paired import class_se, differences
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.experiments.lab.systems import System
from vmacore.models.vma import VariationalMemoryAddressing

PLAN = Plan("omniglot-best", full=20_000)
BEST = System("best", "omniglot-best", PLAN)
CLASSES, ALL, TARGETS = 8, 144, 4
EPISODES = 1000
RULES = ("posterior", "prototype")
DECODED_EPISODES, QUERIES = 20, 2  # for the mixture, which decodes every slot for every query


@dataclass(frozen=True)
class Bound:
    """A number of samples and how much is scored with it: episodes, then rounds and targets of nested memories."""

    samples: int
    episodes: int
    rounds: int
    targets: int


BOUNDS = (Bound(4, 1500, 6, 2), Bound(1000, 20, 2, 1))
SHOTS = {4: "75.1 to 69.1", 16: "68.8 at best"}  # drawings of each class in memory, and the paper's NLL


def run(lab: Lab) -> Result:
    """Train if need be, then everything that the paper gives a number for."""
    study = Study(lab, BEST)
    asked = [(bound, shots) for bound in BOUNDS for shots in SHOTS if bound.samples == 4 or shots == 4]
    rows = [_likelihood(study, bound, shots) for bound, shots in asked]
    rows += [_growth(study, bound) for bound in BOUNDS]
    rows += _classification(study)
    notes = study.notes(
        ("test split", "averaged weights"),
        f"NLL: {CLASSES} classes in memory, {TARGETS} targets of each; "
        + ", ".join(f"{bound.episodes} episodes at K = {bound.samples}" for bound in BOUNDS),
        f"all classes: the same targets with {CLASSES} and with all {ALL} classes in memory, 4 drawings of each; "
        + ", ".join(f"{ALL * bound.rounds * bound.targets:,} targets at K = {bound.samples}" for bound in BOUNDS)
        + "; errors are over classes. A model that ignores its memory has "
        + f"{-math.log(ALL / CLASSES):.2f}",
        of_the_first="accuracies",
    )
    return Result(rows, notes)


def _likelihood(study: Study, bound: Bound, shots: int) -> Row:
    test, device = study.characters(), study.lab.device
    sampler = EpisodeSampler(test, n_way=CLASSES, n_shot=shots, n_target=TARGETS, seed=SEED, device=device)
    score = study.scores(sampler, samples=bound.samples, episodes=bound.episodes, share=0.4).get(BEST.key)
    note = ""
    if score is not None:
        over_classes = class_se(score, target_classes(sampler, test, score.episodes))
        note = (
            f"± {over_classes:.2f} over classes; {score.episodes} episodes; KL_a {score.kl_address:.2f}, KL_z "
            f"{score.kl_latent:.2f}, reconstruction {score.reconstruction:.2f}"
        )
    label, group = f"{CLASSES} classes × {shots} drawings", f"NLL, K = {bound.samples}"
    return study.row(BEST, label, score, group=group, paper=SHOTS[shots], note=note)


def _growth(study: Study, bound: Bound) -> Row:
    """What all classes in memory cost more than a few do, beside the logarithm of how many more they are."""
    few, every = memories = Memory(BEST.key, CLASSES, 4), Memory(BEST.key, ALL, 4)
    asked = Asked(ALL, bound.targets, bound.samples, bound.rounds)
    measured = study.nested(memories, asked)
    label = "nested memories, 4 drawings"
    group = f"NLL({ALL} classes) − NLL({CLASSES}) − log {ALL // CLASSES}, K = {bound.samples}"
    if few not in measured:
        return study.row(BEST, label, group=group, paper="near 0")
    excess = differences(measured[every], measured[few]) - math.log(ALL / CLASSES)
    values = float(excess.mean()), class_se(excess, asked.labels(study.characters(), measured))
    note = ", ".join(
        f"{memory.classes} classes: NLL {measured[memory].nll:.2f}, KL_a {measured[memory].kl_address:.2f}"
        for memory in memories
    )
    return Row.of(study.found[BEST.key], label, *values, group=group, paper="near 0", note=note)


def _classification(study: Study) -> list[Row]:
    model = study.first(BEST).model
    if not isinstance(model, VariationalMemoryAddressing):
        return []
    classifier = Classifier(model, study.characters(), seed=SEED, device=study.lab.device)
    by_rule: dict[str, list[Row]] = {rule: [] for rule in (*RULES, "mixture")}
    for asked in (accuracy.Asked(EPISODES, RULES), accuracy.Asked(DECODED_EPISODES, ("mixture",), QUERIES)):
        for task, paper in PAPER.items():
            for one in accuracy.measure(study.lab, classifier, task, asked, 0.5) or []:
                group = f"accuracy, {one.rule}, {one.episodes} episodes"
                row = Row.of(
                    study.found[BEST.key],
                    accuracy.name(task),
                    *accuracy.percentages(one),
                    unit="%",
                    paper=paper,
                    group=group,
                    note=f"standard error over classes {100 * one.ci95_classes / Z95:.1f}",
                )
                by_rule[one.rule].append(row)
    return [row for rows in by_rule.values() for row in rows]
