"""Systems trained alike on few-shot Omniglot, and their scores on the same episodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch

from vmacore.data.characters import Characters, Dataset
from vmacore.episodes.base import Sampler
from vmacore.evaluation.errors import clustered_se, target_classes
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.paired import differences, episode_se
from vmacore.experiments.lab.plans import FULL, Plan, Trained, comparable
from vmacore.experiments.lab.result import Row


@dataclass(frozen=True)
class System:
    """What is compared: its plan, how it is called in tables, which of `figures.STYLES` it is drawn in."""

    key: str
    label: str
    plan: Plan
    style: int = 0


# The paper takes the better of two learning rates: 1e-4 is it on validation, once both are trained out.
_SLOW = "optimiser.learning_rate=1e-4"
VMA = System("vma", "VMA", Plan("omniglot", "omniglot-1e-4", (_SLOW,), steps=FULL), 0)
APART = Plan("omniglot", "omniglot-apart-1e-4", (_SLOW, "model.tied=false"), steps=FULL)
VMA_APART = System("vma-apart", "VMA, h and h_q apart", APART, 5)
VAE = System("vae", "plain VAE", Plan("omniglot-vae", steps=FULL), 4)
SOFT = System("soft", "soft attention", Plan("omniglot-soft-attention", steps=FULL), 1)
SOFT_K1 = System("soft-k1", "soft attention, K = 1", Plan("omniglot-soft-attention-k1", steps=FULL), 3)
SOFT_2X16 = System("soft-2x16", "soft attention, 2 × 16", Plan("omniglot-soft-attention-2x16", steps=FULL), 2)

Found = Mapping[str, Sequence[Trained]]  # by key of the system, a training seed each


def trained(lab: Lab, systems: Sequence[System]) -> dict[str, list[Trained]]:
    """Every system for every training seed, each at its end or all at equal steps."""
    plans = [system.plan.seeded(seed) for system in systems for seed in range(lab.seeds)]
    models = iter(lab.trained(*plans))
    return {system.key: [next(models) for _ in range(lab.seeds)] for system in systems}


def there(found: Found) -> dict[str, Sequence[Trained]]:
    """Those systems of which there is a model for every seed."""
    return {key: seeds for key, seeds in found.items() if all(one.model is not None for one in seeds)}


def scores(
    lab: Lab,
    found: Found,
    sampler: Sampler,
    *,
    samples: int,
    episodes: int,
    seed: int = 0,
    share: float = 1.0,
    fixed: bool = False,
) -> dict[str, Score]:
    """Scores on the same episodes, each the mean over the training seeds; `Lab.scores` has the rest."""
    models = {
        f"{key} {position}": one.model
        for key, seeds in there(found).items()
        for position, one in enumerate(seeds)
        if one.model is not None
    }
    each = lab.scores(models, sampler, samples=samples, episodes=episodes, seed=seed, share=share, fixed=fixed)
    if not each:
        return {}
    return {
        key: mean_score([each[f"{key} {position}"] for position in range(len(seeds))])
        for key, seeds in there(found).items()
    }


def mean_score(several: Sequence[Score]) -> Score:
    """The mean of scores on the same episodes; its standard error is that of the mean's episodes."""
    if len(several) == 1:
        return several[0]
    means = {
        one.name: sum(getattr(score, one.name) for score in several) / len(several)
        for one in fields(Score)
        if isinstance(getattr(several[0], one.name), float)
    }
    levels = torch.tensor([score.kl_levels for score in several], dtype=torch.float64).mean(0)
    episodes = torch.tensor([score.per_episode for score in several]).mean(0)
    targets = torch.tensor([[list(e) for e in score.per_target] for score in several]).mean(0)
    means["nll_se"] = float(episodes.std()) / math.sqrt(len(episodes))
    return replace(
        several[0],
        **means,
        kl_levels=tuple(levels.tolist()),
        per_episode=tuple(episodes.tolist()),
        per_target=tuple(tuple(row) for row in targets.tolist()),
    )


def difference_row(
    found: Found,
    measured: Mapping[str, Score],
    pair: tuple[System, System],
    sampler: Sampler,
    characters: Characters,
    *,
    group: str,
) -> Row:
    """The paired difference of a system to another; none between trainings that are not `comparable`."""
    system, base = pair
    both = [*found[system.key], *found[base.key]]
    label = f"{system.label} less {base.label}"
    if not comparable(both):
        steps = f"{found[system.key][0].updates:,} and {found[base.key][0].updates:,}"
        return Row.of(both, label, group=group, note=f"not compared: trained for {steps} updates")
    one, other = measured[system.key], measured[base.key]
    difference = differences(one, other)
    over_classes = clustered_se(difference, target_classes(sampler, characters, one.episodes))
    note = f"paired, ± {over_classes:.2f} over classes"
    return Row.of(both, label, float(difference.mean()), episode_se(one, other), group=group, note=note)


def seeds_note(found: Found, of_the_first: str = "") -> list[str]:
    """A sentence about training seeds. of_the_first: what is measured of the first seed alone."""
    count = len(next(iter(found.values())))
    if count == 1:
        return ["One training seed each: standard errors do not hold the spread between trainings."]
    but = f", but {of_the_first} of the first" if of_the_first else ""
    return [f"Means over {count} training seeds{but}; standard errors are over episodes."]


def describe(dataset: Dataset, *more: str) -> str:
    """What decides the numbers: data set, split and binarisation, then whatever else."""
    return "; ".join([f"{dataset.name} {dataset.protocol}", dataset.preparation, dataset.binarisation, *more])
