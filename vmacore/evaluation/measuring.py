"""Many kinds of few-shot task measured at once, by every rule on the same episodes, with scikit-learn beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from vmacore.data.characters import Characters
from vmacore.data.splits import by_alphabet
from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import Classification, mean_of
from vmacore.evaluation.answers import Answers, ClassAccuracy, Confusion, confusions, per_class
from vmacore.evaluation.baselines import Baseline, baselines
from vmacore.evaluation.classification import Classifier
from vmacore.evaluation.hog import hog_of_files
from vmacore.evaluation.refusals import Refusals, check_refusals, measure_refusals
from vmacore.evaluation.tasks import FewShotTasks
from vmacore.models.base import GenerativeModel

WHOLE = ""  # the name of all classes together


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured of FewShotTasks.

    results: every kind by every rule. by_alphabet: for each of these the same in every alphabet by name, where that was
    asked for; else empty. baselines: scikit-learn's, where asked for. refusals: of every kind, where asked for.
    characters: what was classified, binary.
    answers: to single queries, where asked for.
    """

    results: list[Classification]
    by_alphabet: list[dict[str, Classification]]
    baselines: list[Baseline]
    refusals: list[Refusals]
    characters: Characters
    answers: list[Answers]

    def per_class(self) -> list[ClassAccuracy]:
        """Every class that was asked, the least accurate first, over all kinds and rules."""
        return per_class(self.characters, self.answers)

    def confusions(self) -> list[Confusion]:
        """Pairs of classes that were confused, the most frequent first."""
        return confusions(self.characters, self.answers)


def measure_tasks(
    model: GenerativeModel,
    characters: Characters,
    tasks: FewShotTasks,
    *,
    answers: bool = False,
    frame: str | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Measurements:
    """Accuracy of a model on kinds of task. All kinds are checked first: one that can't be measured costs no other.

    answers: keep those to single queries. frame: the baselines read `characters.files` in this frame too, as histograms
    of gradients; None: they don't. progress(done, total) counts episodes.

    Raises:
        VmaError: as `Classifier` and `Classifier.check` do, answers are asked for within alphabets, or no alphabet has
            enough classes.
    """
    if answers and tasks.within_alphabet:
        raise VmaError("answers are told of all classes together: ask for them without within_alphabet")
    characters = characters.binarised(tasks.seed)
    parts = _classifiers(model, characters, tasks, device)
    for (way, shot), classifier in product(tasks.kinds, parts.values()):
        classifier.check(**_kind(tasks, way, shot), **_by(tasks))
        if tasks.reject is not None:
            check_refusals(classifier, **_kind(tasks, way, shot), reject=tasks.reject)
    gradients = hog_of_files(characters.files, frame) if tasks.baselines and frame else None
    measured = Measurements([], [], [], [], characters, [])
    refusing = tasks.n_episodes if tasks.reject is not None else 0
    each = len(parts) * tasks.n_episodes + tasks.n_baselines + refusing
    total = len(tasks.kinds) * each
    for number, (way, shot) in enumerate(tasks.kinds):
        before = number * each
        of_parts = [
            classifier.measure(
                **_kind(tasks, way, shot),
                **_by(tasks),
                progress=_after(progress, before + place * tasks.n_episodes, total),
                record=measured.answers.append if answers else None,
            )
            for place, classifier in enumerate(parts.values())
        ]
        for by_part in zip(*of_parts, strict=True):
            measured.results.append(mean_of(by_part))
            if tasks.within_alphabet:
                measured.by_alphabet.append(dict(zip(parts, by_part, strict=True)))
        if tasks.baselines:
            fitted = baselines(
                parts[WHOLE],
                way=way,
                shot=shot,
                episodes=tasks.n_baselines,
                queries=tasks.n_queries,
                gradients=gradients,
                progress=_after(progress, before + tasks.n_episodes, total),
            )
            measured.baselines.extend(fitted)
        if tasks.reject is not None:
            refusals = measure_refusals(
                parts[WHOLE],
                **_kind(tasks, way, shot),
                reject=tasks.reject,
                progress=_after(progress, before + each - refusing, total),
            )
            measured.refusals.append(refusals)
    return measured


def _kind(tasks: FewShotTasks, way: int, shot: int) -> dict[str, Any]:
    """A kind of task, as a classifier is asked for it."""
    return {"way": way, "shot": shot, "episodes": tasks.n_episodes, "queries": tasks.n_queries}


def _by(tasks: FewShotTasks) -> dict[str, Any]:
    """What chooses the classes."""
    return {"rules": tasks.rules, "samples": tasks.samples, "weight": tasks.weight}


def _classifiers(
    model: GenerativeModel, characters: Characters, tasks: FewShotTasks, device: torch.device | str
) -> dict[str, Classifier]:
    """One for all classes, or for each alphabet that has enough for every kind.

    Raises:
        VmaError: no alphabet has.
    """
    parts = {WHOLE: characters}
    if tasks.within_alphabet:
        way = max(way for way, _ in tasks.kinds)
        alphabets = by_alphabet(characters)
        parts = {name: part for name, part in alphabets.items() if part.n_classes >= way}
        if not parts:
            most = max(part.n_classes for part in alphabets.values())
            raise VmaError(f"no alphabet of this split has {way} classes: choose a --way up to {most}")
    return {
        name: Classifier(model, part, seed=tasks.seed, device=device, shifts=tasks.shifts)
        for name, part in parts.items()
    }


def _after(progress: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int, int], None] | None:
    """Counts on from what was done before."""
    return None if progress is None else lambda done, _: progress(before + done, total)
