"""Accuracies with their errors, over episodes and over classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from vmacore.evaluation.errors import clustered_se

Z95 = 1.96  # standard errors in half the width of a 95 % interval


@dataclass(frozen=True)
class Classification:
    """Accuracy with half the widths of its 95 % intervals (`Accuracy`); `pixel_*`: nearest neighbour on pixels.

    queries: answered in all. queries_per_class: the most asked in an episode; None: every drawing left over.
    samples: of z for each query and slot, where the rule decodes. weight: of the likelihood in a mixture. shifts: of
    drawings whose embeddings are averaged, in pixels each way.
    """

    way: int
    shot: int
    rule: str
    accuracy: float
    ci95: float
    ci95_classes: float
    episodes: int
    queries: int
    pixel_accuracy: float
    pixel_ci95: float
    pixel_ci95_classes: float
    queries_per_class: int | None = None
    samples: int | None = None
    weight: float | None = None
    shifts: int = 0


class Accuracy(NamedTuple):
    """How often queries are right, with half the widths of two 95 % intervals.

    ci95: over episodes, for other episodes of the same classes. ci95_classes: over the classes of the queries, for
    other classes; that those would also be the alternatives to one another is not in it.
    """

    accuracy: float
    ci95: float
    ci95_classes: float


def accuracy_of(right: Sequence[Tensor], classes: Sequence[Tensor]) -> Accuracy:
    """Accuracy over episodes, each of which counts alike, from which queries [Q] of each are right, and their classes.

    right: bool [Q] for every episode. classes: int64 [Q], within the split.
    """
    each = [part.double() for part in torch.cat(list(right)).cpu().split([len(part) for part in right])]
    weights = torch.cat([torch.full_like(part, 1 / len(part)) for part in each])
    se = clustered_se(torch.cat(each), torch.cat(list(classes)).cpu(), weights)
    return Accuracy(*interval(torch.stack([part.mean() for part in each])), Z95 * se)


def interval(values: Tensor) -> tuple[float, float]:
    """Mean of values [N] over episodes, and half the width of its 95 % interval."""
    values = values.cpu().double()
    return float(values.mean()), Z95 * float(values.std()) / math.sqrt(len(values))


def mean_of(parts: Sequence[Classification]) -> Classification:
    """The mean of measurements of one task and rule on separate classes, such as alphabets, which count alike."""

    def spread(*widths: float) -> float:
        return math.hypot(*widths) / len(widths)

    def mean(*values: float) -> float:
        return sum(values) / len(values)

    first = parts[0]
    return replace(
        first,
        accuracy=mean(*(part.accuracy for part in parts)),
        ci95=spread(*(part.ci95 for part in parts)),
        ci95_classes=spread(*(part.ci95_classes for part in parts)),
        episodes=sum(part.episodes for part in parts),
        queries=sum(part.queries for part in parts),
        pixel_accuracy=mean(*(part.pixel_accuracy for part in parts)),
        pixel_ci95=spread(*(part.pixel_ci95 for part in parts)),
        pixel_ci95_classes=spread(*(part.pixel_ci95_classes for part in parts)),
    )
