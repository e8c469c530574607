"""What most experiments are: systems trained alike, asked about one data set, and a row for each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmacore.data.characters import Characters
from vmacore.episodes.base import Sampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import nested, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Asked, Memory
from vmacore.experiments.lab.plans import Trained
from vmacore.experiments.lab.result import Row
from vmacore.experiments.lab.systems import System

SEED = 0  # of every evaluation


class Study:
    """Systems that were trained in a lab, and the data set of the first.

    found: by key of the system, a training seed each.
    """

    def __init__(self, lab: Lab, *members: System) -> None:
        self.lab = lab
        self.found: dict[str, Sequence[Trained]] = {}
        self.train(*members)
        config = members[0].plan.config()
        self.dataset = lab.dataset(config)
        self._seed = config.data.seed

    def train(self, *members: System) -> None:
        """Systems that are trained together: each to its end, or all to equal steps."""
        self.found |= systems.trained(self.lab, members)

    def first(self, system: System) -> Trained:
        """A system's training of the first seed."""
        return self.found[system.key][0]

    def characters(self, split: str = "test") -> Characters:
        """A split, binary."""
        return self.dataset.split(split).binarised(self._seed)

    def scores(self, sampler: Sampler, **how: Any) -> dict[str, Score]:
        """Of all systems that there are on the same episodes, by key; `Lab.scores` says how."""
        return systems.scores(self.lab, self.found, sampler, seed=SEED, **how)

    def nested(self, memories: Sequence[Memory], asked: Asked) -> dict[Memory, Score]:
        """Of each memory on the same test targets."""
        return nested.measure(self.lab, self.found, memories, self.characters(), asked)

    def row(self, system: System | str, label: str, score: Score | None = None, **more: Any) -> Row:
        """The NLL of a system; without a score the row says why there is none."""
        return Row.scored(self.found[system if isinstance(system, str) else system.key], label, score, **more)

    def difference(self, measured: Mapping[str, Score], system: System, base: System, **more: Any) -> Row:
        """The paired difference of two systems; see `systems.difference_row`."""
        return systems.difference_row(self.found, measured, (system, base), **more)

    def notes(self, about: Sequence[str], *more: str, of_the_first: str = "") -> list[str]:
        """What decides the numbers, then what else there is to say, then about seeds (`systems.seeds_note`)."""
        head = systems.describe(self.dataset, *about, f"seed {SEED}")
        return [head, *more, *systems.seeds_note(self.found, of_the_first)]
