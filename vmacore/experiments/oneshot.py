"""The one-shot classification challenge of Lake et al. (2015): 20 runs of 20-way 1-shot within an alphabet."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vmacore.addressing import similarities
from vmacore.data.characters import Characters
from vmacore.data.sets.omniglot_oneshot import WAY
from vmacore.evaluation.classification import Classifier
from vmacore.experiments.lab import systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import System
from vmacore.models.base import GenerativeModel

# The runs' drawings are of the 20 evaluation alphabets, so nothing of these may train or validate.
H = System("h", "h", Plan("omniglot-addresses", "omniglot-addresses-30-20", ("data.protocol=30-20",), full=6000))
PUBLISHED = "people 4.5, BPL 3.3"
ALONE, TOGETHER = "each drawing by itself", "all 20 drawings of a run matched one to one (transductive)"


def run(lab: Lab) -> Result:
    """The error of the slot with most of q(a|x), for every training seed."""
    trained = systems.trained(lab, [H])[H.key]
    challenge = H.plan.config().with_overrides(["data.dataset=omniglot-oneshot", "data.protocol=runs"])
    dataset = lab.dataset(challenge)
    wrong = [errors(one.model, dataset.test, lab) if one.model else {} for one in trained]  # by group, a run each
    rows = []
    for group, published in ((ALONE, PUBLISHED), (TOGETHER, None)):
        each = [mean_and_error(found[group]) if found else (None, None) for found in wrong]
        more: dict[str, Any] = {"unit": "%", "group": group, "paper": published}
        rows += [
            Row.of(one, f"seed {one.plan.seed}", *numbers, **more) for one, numbers in zip(trained, each, strict=True)
        ]
        means = torch.tensor([mean for mean, _ in each if mean is not None])
        if 1 < len(trained) == len(means):
            rows.append(Row.of(trained, f"mean of {len(trained)} seeds", *mean_and_error(means / 100), **more))
    notes = [
        systems.describe(dataset, "20 runs", "averaged weights"),
        "trained and validated on the 30 background alphabets alone, with the labels of their classes",
        "± s.e. of a seed: over the runs; of a mean over seeds: over these",
        "published errors in %, all trained on the same 30 alphabets: people 4.5, BPL 3.3, GNS 5.7, RCN 7.3, VHE 18.7, "
        "convolutional network 13.5, prototypical network 13.7",
    ]
    return Result(rows, notes, data={"errors by run": [{k: v.tolist() for k, v in found.items()} for found in wrong]})


@torch.no_grad()
def errors(model: GenerativeModel, drawings: Characters, lab: Lab) -> dict[str, Tensor]:
    """The part of the second drawings [runs] that is taken for another character than the first drawing shows."""
    classifier = Classifier(model, drawings, device=lab.device)
    alone, together = [], []
    for first in range(0, len(drawings.images), 2 * WAY):
        memory = torch.arange(first, first + 2 * WAY, 2)
        scores = similarities(
            classifier.keys[memory], classifier.queries[memory + 1], classifier.model.config.similarity
        )  # [queries, slots]
        own = torch.arange(WAY, device=scores.device)
        alone.append((scores.argmax(1) != own).cpu().double().mean())
        _, matched = linear_sum_assignment(scores.log_softmax(1).cpu().numpy(), maximize=True)
        together.append((torch.from_numpy(matched) != own.cpu()).double().mean())
    return {ALONE: torch.stack(alone), TOGETHER: torch.stack(together)}


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean of parts [N] and its standard error, in per cent."""
    return 100 * float(values.mean()), 100 * float(values.std()) / math.sqrt(len(values))
