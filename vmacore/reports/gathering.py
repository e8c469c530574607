"""What the report of a run holds: what it learned and can do, as far as there is what that needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch

from vmacore.data.characters import Characters, Dataset
from vmacore.errors import VmaError
from vmacore.experiments.lab.result import Row as Measured
from vmacore.models.base import GenerativeModel
from vmacore.reports import growth as sizes
from vmacore.reports import numbers
from vmacore.reports.curves import Curves, curves
from vmacore.reports.growth import Growth
from vmacore.reports.key_map import KeyMap, key_map
from vmacore.reports.looks import Looks, looks
from vmacore.reports.provenance import Hash, hash_of_weights, hashes_of_data
from vmacore.reports.samples import Row, samples
from vmacore.runs.finding import Location

T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """How much is measured. episodes: tasks of each kind; targets: for each size of memory, about."""

    split: str = "test"
    weights: str = "averaged"
    episodes: int = numbers.EPISODES
    targets: int = sizes.TARGETS
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A model with its data, and the split that is asked, binary."""

    model: GenerativeModel
    dataset: Dataset
    characters: Characters
    device: torch.device


@dataclass
class RunReport:
    """All that the page of a run shows; None where it could not be had, and `missing` says why."""

    location: Location
    asked: Asked
    dataset: Dataset | None = None
    parameters: int | None = None
    curves: Curves | None = None
    accuracies: Sequence[Measured] | None = None
    growth: Growth | None = None
    looks: Looks | None = None
    samples: Sequence[Row] | None = None
    key_map: KeyMap | None = None
    hashes: list[Hash] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)

    def attempt(self, what: str, have: Callable[[], T]) -> T | None:
        """What `have` returns; None where that fails, and `missing` says why."""
        try:
            return have()
        except VmaError as error:
            self.missing.append((what, str(error)))
            return None


def described(location: Location, asked: Asked) -> RunReport:
    """What a run's folder tells without its data: learning curves and the hash of its weights."""
    report = RunReport(location, asked)
    if location.kind == "shipped":
        report.missing.append(("Learning curves", "these weights come without the run that they were trained in"))
    else:
        run = location.source if location.kind == "run" else location.path.parent.parent
        report.curves = report.attempt("Learning curves", partial(curves, run, location.config.objective.trains))
    weights = report.attempt("Hash of the weights", partial(hash_of_weights, location, asked.weights))
    report.hashes += [weights] if weights else []
    return report


STAGES = ("samples", "q(a|x)", "keys", "accuracy", "sizes of memory")


def measure(report: RunReport, trained: Trained, progress: Callable[[str], None] | None = None) -> None:
    """Fill in what the model shows on its data. progress: is told each of STAGES before it begins.

    Raises:
        VmaError: the split holds no drawing.
    """
    asked, model, characters = report.asked, trained.model, trained.characters
    report.dataset = trained.dataset
    report.hashes += hashes_of_data(trained.dataset)
    report.parameters = sum(parameter.numel() for parameter in model.parameters())
    if not characters.n_classes:
        raise VmaError(f"split {asked.split} of {trained.dataset.name} holds no drawing: take another --split")
    how: dict[str, Any] = {"seed": asked.seed, "device": trained.device}
    config = report.location.config
    parts: list[tuple[str, str, Callable[[], Any]]] = [
        ("samples", "Samples", partial(samples, model, characters, **how)),
        ("looks", "Where q(a|x) looks", partial(looks, model, characters, **how)),
        ("key_map", "Map of the keys", partial(key_map, model, characters, device=trained.device)),
        (
            "accuracies",
            "Accuracy",
            partial(numbers.accuracies, model, characters, config, episodes=asked.episodes, **how),
        ),
        (
            "growth",
            "NLL by size of memory",
            partial(sizes.growth, model, characters, targets=asked.targets, **how),
        ),
    ]
    for stage, (name, title, have) in zip(STAGES, parts, strict=True):
        if progress:
            progress(stage)
        if name in ("samples", "growth") and config.objective.trains == "addresses":
            report.missing.append((title, "the run was trained on addresses alone"))
        else:
            setattr(report, name, report.attempt(title, have))
