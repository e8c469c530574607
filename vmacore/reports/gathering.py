"""What the report of a run holds: what it learned and can do, as far as there is what that needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from vmacore.data.characters import Dataset
from vmacore.errors import VmaError
from vmacore.experiments.lab.result import Row as Measured
from vmacore.reports import growth as sizes
from vmacore.reports import numbers
from vmacore.reports.curves import Curves, curves
from vmacore.reports.growth import Growth
from vmacore.reports.key_map import KeyMap, key_map
from vmacore.reports.looks import Looks, looks
from vmacore.reports.provenance import Hash, hash_of_weights, hashes_of_data
from vmacore.reports.samples import Row, samples
from vmacore.runs.finding import Location
from vmacore.runs.opening import OpenRun

T = TypeVar("T")
MODEL = "All that shows or measures the model"  # as a part of the page that is missing


@dataclass(frozen=True)
class Asked:
    """How much is measured. episodes: tasks of each kind; targets: for each size of memory, about."""

    split: str = "test"
    weights: str = "averaged"
    episodes: int = numbers.EPISODES
    targets: int = sizes.TARGETS
    seed: int = 0


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

    @property
    def of_paper(self) -> bool:
        """Whether the paper has numbers on these data."""
        return numbers.is_of_paper(self.dataset, self.asked.split)

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
    if location.folder is None:
        report.missing.append(("Learning curves", "these weights come without the run that they were trained in"))
    else:
        trains = location.config.objective.trains
        report.curves = report.attempt("Learning curves", partial(curves, location.folder, trains))
    weights = report.attempt("Hash of the weights", partial(hash_of_weights, location, asked.weights))
    report.hashes += [weights] if weights else []
    return report


STAGES = ("samples", "q(a|x)", "keys", "accuracy", "sizes of memory")


def measure(report: RunReport, run: OpenRun, progress: Callable[[str], None] | None = None) -> None:
    """Fill in what the model shows on its data. progress: is told each of STAGES before it begins."""
    asked, model = report.asked, run.model
    characters = run.characters(asked.split)
    report.dataset = run.dataset
    report.hashes += hashes_of_data(run.dataset)
    report.parameters = sum(parameter.numel() for parameter in model.parameters())
    if not characters.n_classes:
        why = f"split {asked.split} of {run.dataset.name} holds no drawing: take another --split"
        report.missing.append((MODEL, why))
        return
    how: dict[str, Any] = {"seed": asked.seed, "device": run.device}
    tasks: dict[str, Any] = {"of_paper": report.of_paper, "episodes": asked.episodes, **how}
    parts: list[tuple[str, str, Callable[[], Any]]] = [
        ("samples", "Samples", partial(samples, model, characters, **how)),
        ("looks", "Where q(a|x) looks", partial(looks, model, characters, **how)),
        ("key_map", "Map of the keys", partial(key_map, model, characters, device=run.device)),
        ("accuracies", "Accuracy", partial(numbers.accuracies, model, characters, **tasks)),
        ("growth", "NLL by size of memory", partial(sizes.growth, model, characters, targets=asked.targets, **how)),
    ]
    for stage, (name, title, have) in zip(STAGES, parts, strict=True):
        if progress:
            progress(stage)
        if name in ("samples", "growth") and report.location.config.objective.trains == "addresses":
            report.missing.append((title, "the run was trained on addresses alone"))
        else:
            setattr(report, name, report.attempt(title, have))
