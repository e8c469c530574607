"""The recipe of our own beside the paper's best numbers, on the test alphabets of 45-5."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vmacore.data.characters import Characters
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.classification import Z95, Classifier
from vmacore.evaluation.errors import target_classes
from vmacore.experiments.classification import PAPER, measure
from vmacore.experiments.lab import nested, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Memory
from vmacore.experiments.lab.paired import class_se, differences
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import Found, System
from vmacore.models.vma import VariationalMemoryAddressing

# Trained on as images alone, with h from a training of its own and more drawings in memory.
IMAGES = (
    "objective.trains=images",
    "objective.coarse_warmup=0",
    "episode.shots_between=[1,16]",
    "optimiser.decay=0.7",
)
PLAN = Plan(
    "omniglot-best",
    "omniglot-best-images",
    IMAGES,
    steps=5600,
    full=5600,
    init=Plan("omniglot-best", full=14_000),
    addresses=Plan("omniglot-addresses", full=7000),
)
BEST = System("best", "omniglot-best", PLAN)
CLASSES, ALL, TARGETS, SEED = 8, 144, 4, 0
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
    found = systems.trained(lab, [BEST])
    config = BEST.plan.config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    rows: list[Row] = []
    for bound in BOUNDS:
        for shots, paper in SHOTS.items():
            if bound.samples == 4 or shots == 4:
                rows.append(_likelihood(lab, found, test, bound, shots, paper))
    rows += [row for bound in BOUNDS for row in _growth(lab, found, test, bound)]
    rows += _classification(lab, found, test)
    notes = [
        systems.describe(dataset, "test split", "averaged weights", f"seed {SEED}"),
        f"NLL: {CLASSES} classes in memory, {TARGETS} targets of each; "
        + ", ".join(f"{bound.episodes} episodes at K = {bound.samples}" for bound in BOUNDS),
        f"all classes: the same targets with {CLASSES} and with all {ALL} classes in memory, 4 drawings of each; "
        + ", ".join(f"{ALL * bound.rounds * bound.targets:,} targets at K = {bound.samples}" for bound in BOUNDS)
        + "; errors are over classes. A model that ignores its memory has "
        + f"{-math.log(ALL / CLASSES):.2f}",
        *systems.seeds_note(found),
    ]
    return Result(rows, notes)


def _likelihood(lab: Lab, found: Found, test: Characters, bound: Bound, shots: int, paper: str) -> Row:
    group = f"NLL, K = {bound.samples}"
    label = f"{CLASSES} classes × {shots} drawings"
    sampler = EpisodeSampler(test, n_way=CLASSES, n_shot=shots, n_target=TARGETS, seed=SEED, device=lab.device)
    scored = systems.scores(lab, found, sampler, samples=bound.samples, episodes=bound.episodes, seed=SEED, share=0.4)
    one = scored.get(BEST.key)
    if one is None:
        return Row.of(found[BEST.key], label, group=group, paper=paper)
    over_classes = class_se(one, target_classes(sampler, test, one.episodes))
    note = (
        f"± {over_classes:.2f} over classes; {one.episodes} episodes; KL_a {one.kl_address:.2f}, KL_z "
        f"{one.kl_latent:.2f}, reconstruction {one.reconstruction:.2f}"
    )
    return Row.of(found[BEST.key], label, one.nll, one.nll_se, group=group, paper=paper, note=note)


def _growth(lab: Lab, found: Found, test: Characters, bound: Bound) -> list[Row]:
    """What all classes in memory cost more than a few do, beside the logarithm of how many more they are."""
    few, all_of_them = Memory(BEST.key, CLASSES, 4), Memory(BEST.key, ALL, 4)
    measured = nested.measure(
        lab,
        found,
        [few, all_of_them],
        test,
        total=ALL,
        targets=bound.targets,
        samples=bound.samples,
        rounds=bound.rounds,
        seed=SEED,
    )
    group = f"NLL({ALL} classes) − NLL({CLASSES}) − log {ALL // CLASSES}, K = {bound.samples}"
    if few not in measured:
        return [Row.of(found[BEST.key], "nested memories, 4 drawings", group=group, paper="near 0")]
    classes = nested.target_labels(test, ALL, bound.targets, SEED, measured)
    excess = differences(measured[all_of_them], measured[few]) - math.log(ALL / CLASSES)
    note = ", ".join(
        f"{memory.classes} classes: NLL {measured[memory].nll:.2f}, KL_a {measured[memory].kl_address:.2f}"
        for memory in (few, all_of_them)
    )
    label, values = "nested memories, 4 drawings", (float(excess.mean()), class_se(excess, classes))
    return [Row.of(found[BEST.key], label, *values, group=group, paper="near 0", note=note)]


def _classification(lab: Lab, found: Found, test: Characters) -> list[Row]:
    model = found[BEST.key][0].model
    if not isinstance(model, VariationalMemoryAddressing):
        return []
    classifier = Classifier(model, test, seed=SEED, device=lab.device)
    rows = []
    for rules, episodes, queries in ((RULES, EPISODES, None), (("mixture",), DECODED_EPISODES, QUERIES)):
        for (way, shot), paper in PAPER.items():
            for one in measure(lab, classifier, way, shot, episodes, 0.5, rules, queries) or []:
                group = f"accuracy, {one.rule}, {one.episodes} episodes"
                values = 100 * one.accuracy, 100 * one.ci95 / Z95
                label = f"{way}-way {shot}-shot"
                note = f"standard error over classes {100 * one.ci95_classes / Z95:.1f}"
                rows.append(Row.of(found[BEST.key], label, *values, unit="%", paper=paper, group=group, note=note))
    return sorted(rows, key=lambda row: [*RULES, "mixture"].index(row.group.split(", ")[1]))
