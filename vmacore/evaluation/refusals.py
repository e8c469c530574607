"""None of these: how many queries of classes in memory are refused, and how many of classes that are not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor

from vmacore.addressing import address_prior, slot_side
from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import accuracy_of, interval
from vmacore.evaluation.classification import Classifier
from vmacore.memory.calibration import calibrate, class_means, known
from vmacore.memory.large import LargeMemory, pack
from vmacore.seeds import Stream, generator


@dataclass(frozen=True)
class Refused:
    """The part of queries that is refused, with half the widths of its 95 % intervals (`Accuracy`)."""

    part: float
    ci95: float
    ci95_classes: float
    queries: int


@dataclass(frozen=True)
class Refusals:
    """What is refused as none of `way` classes with `shot` drawings each in memory, as `vma identify` refuses.

    auroc: how often a query of a class in memory is better known (`vmacore.memory.calibration.known`) than one of
    another class, in an episode; ci95: half the width of its 95 % interval over episodes. cosine_auroc: the same by the
    largest cosine alone. known, unknown: queries of classes in memory, and of others.
    """

    way: int
    shot: int
    reject: float
    episodes: int
    auroc: float
    ci95: float
    cosine_auroc: float
    known: Refused
    unknown: Refused


class _Judged(NamedTuple):
    """Queries [Q]: their largest cosine, how well known they are, and whether that is too little."""

    cosine: Tensor
    known: Tensor
    refused: Tensor


@torch.no_grad()
def measure_refusals(
    classifier: Classifier,
    *,
    way: int,
    shot: int,
    episodes: int,
    reject: float,
    queries: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refusals:
    """Ask the queries of `Classifier.measure`'s tasks, and of classes that are not in memory as many, if there are.

    reject: how many of the known may be refused, a fraction, calibrated in every memory by leave-one-out (`calibrate`).
    With one drawing of each class nothing is usual, and nothing refused. progress(done, total) counts episodes.

    Raises:
        VmaError: as `check_refusals`.
    """
    check_refusals(classifier, way=way, shot=shot, episodes=episodes, reject=reject, queries=queries)
    labels = classifier.labels
    areas: list[tuple[float, float]] = []
    judged: tuple[list[Tensor], list[Tensor]] = [], []
    classes: tuple[list[Tensor], list[Tensor]] = [], []
    for index in range(episodes):
        task = classifier.task(index, way, shot, queries)
        unknown = unknown_queries(classifier, task.support, len(task.query), index)
        judge = _Judge.of(classifier, task.support, task.support_label, reject)
        both = [judge(classifier.queries[query]) for query in (task.query, unknown)]
        is_known = torch.arange(len(task.query) + len(unknown)) < len(task.query)
        areas.append(
            (
                float(roc_auc_score(is_known, torch.cat([part.known for part in both]).cpu())),
                float(roc_auc_score(is_known, torch.cat([part.cosine for part in both]).cpu())),
            )
        )
        for place, query in enumerate((task.query, unknown)):
            judged[place].append(both[place].refused)
            classes[place].append(labels[query])
        if progress:
            progress(index + 1, episodes)
    auroc, alone = torch.tensor(areas, dtype=torch.float64).unbind(1)
    return Refusals(
        way,
        shot,
        reject,
        episodes,
        *interval(auroc),
        float(alone.mean()),
        *(
            Refused(*accuracy_of(refused, asked), sum(map(len, asked)))
            for refused, asked in zip(judged, classes, strict=True)
        ),
    )


def check_refusals(
    classifier: Classifier, *, way: int, shot: int, episodes: int, reject: float, queries: int | None = None
) -> None:
    """Raises:
    VmaError: what `Classifier.check` raises, no class is left that is not in memory, or `reject` is out of range.
    """
    classifier.check(way=way, shot=shot, episodes=episodes, queries=queries)
    classes = classifier.characters.n_classes
    if way >= classes:
        raise VmaError(f"{way} of {classes} classes are in memory, and none is unknown: choose a --way below {classes}")
    if not 0 <= reject < 1:
        raise VmaError(f"reject is {reject}: choose 0 to 1")


def unknown_queries(classifier: Classifier, support: Tensor, count: int, index: int) -> Tensor:
    """Drawings [Q] of classes without any in memory, drawn at random: `count`, or all if they are fewer."""
    labels = classifier.labels
    others = (~torch.isin(labels, labels[support])).nonzero().flatten()
    draw = generator(classifier.seed, index, Stream.UNKNOWN)
    return others[torch.randperm(len(others), generator=draw)[:count].to(others.device)]


@dataclass(frozen=True, eq=False)
class _Judge:
    """keys: of unit length [S, E]. usual: the usual cosine [S] of each slot's class. means: of classes [C, E].

    threshold: how well known a query has to be.
    """

    keys: Tensor
    usual: Tensor
    means: Tensor
    threshold: float

    @staticmethod
    def of(classifier: Classifier, support: Tensor, label: Tensor, reject: float) -> _Judge:
        """By a memory of the drawings at `support` [S], of classes `label` [S]."""
        model = classifier.model
        similarity, way = model.config.similarity, int(label.max()) + 1
        keys = slot_side(classifier.keys[support], similarity)
        memory = LargeMemory(
            slots=pack(classifier.pixels[support].view(-1, *model.size)),
            keys=keys,
            log_prior=address_prior(keys, model.query_point, similarity),
            size=model.size,
            labels=label.int(),
            classes=way,
        )
        calibration = calibrate(memory, lambda slot: classifier.queries[support[slot]], similarity)
        usual = calibration.usual(label, way)[label]
        means = class_means(keys, label, way)
        return _Judge(F.normalize(keys, dim=1), usual, means, calibration.threshold(label, way, reject))

    def __call__(self, queries: Tensor) -> _Judged:
        unit = F.normalize(queries, dim=1)
        cosine, slot = (unit @ self.keys.T).max(1)
        familiar = known(cosine, self.usual[slot], (unit @ self.means.T).amax(1))
        return _Judged(cosine, familiar, familiar < self.threshold)
