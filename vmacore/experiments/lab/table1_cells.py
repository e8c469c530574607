"""The cells of table 1: which system is conditioned on what, and the paper's numbers.

The paper does not say what its columns count. The GMN's look like the items in memory altogether, which its released
code reports; those of hard addressing like the items of each class. And that code draws drawings with replacement, at
test time too, so that a target may already be in memory. So a cell may be either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vmacore.data.characters import Characters
from vmacore.episodes.sequence import SetSampler
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.study import SEED
from vmacore.experiments.lab.systems import System

STEPS = 60_000
VMA = System("vma", "VMA", Plan("omniglot-gmn", steps=STEPS), 0)
GMN = System("gmn", "GMN", Plan("gmn", steps=STEPS, full=90_000), 1)
EACH_CLASS = {VMA: True, GMN: False}  # what the paper's columns are taken to count
CLASSES, ITEMS = (1, 2, 4, 16), (1, 2, 3, 4, 5, 10, 19)
_NUMBERS = {
    (VMA, 1): (86.5, 83.0, 79.6, 79.0, 76.5, 76.2, 73.9),
    (VMA, 2): (87.2, 83.3, 80.9, 79.3, 79.1, 77.0, 75.0),
    (VMA, 4): (87.5, 83.3, 81.2, 80.7, 79.5, 78.6, 76.7),
    (VMA, 16): (89.6, 85.1, 81.5, 81.9, 81.3, 79.8, 77.0),
    (GMN, 1): (83.3, 78.9, 75.7, 72.9, 70.1, 59.9, 45.8),
    (GMN, 2): (86.4, 84.9, 82.4, 81.0, 78.8, 71.4, 61.2),
    (GMN, 4): (88.3, 87.3, 86.7, 85.4, 84.0, 80.2, 73.7),
}
PAPER = {key: dict(zip(ITEMS, numbers, strict=True)) for key, numbers in _NUMBERS.items()}


@dataclass(frozen=True)
class Setting:
    """What is conditioned on: `items` drawings of `classes` classes, of each of them or altogether."""

    replacement: bool
    each_class: bool
    classes: int
    items: int

    @property
    def column(self) -> str:
        """What a column of the table counts."""
        if self.each_class:
            return f"{self.items} a class"
        return "1 item" if self.items == 1 else f"{self.items} items"

    @property
    def protocol(self) -> str:
        """How drawings are drawn."""
        return protocol(self.replacement)

    def sampler(self, test: Characters, device: torch.device | str) -> SetSampler:
        """Episodes with the same targets whatever the setting."""
        return SetSampler(
            test,
            n_classes=self.classes,
            n_items=self.items,
            each_class=self.each_class,
            replacement=self.replacement,
            longest=ITEMS[-1],
            seed=SEED,
            device=device,
        )


Cell = tuple[System, Setting]


def settings(replacement: bool, each_class: bool, classes: Iterable[int]) -> list[Setting]:
    """One for each number of classes and of items; of a single class, items altogether are those of each."""
    return [Setting(replacement, each_class and C > 1, C, items) for C in classes for items in ITEMS]


def parts() -> list[list[Cell]]:
    """What is measured, in order: the paper's cells under both protocols, then with items counted the other way."""
    own, other = [], []
    for replacement in (False, True):
        own.append([(s, one) for s, each in EACH_CLASS.items() for one in settings(replacement, each, CLASSES)])
        other.append(
            [(s, one) for s, each in EACH_CLASS.items() for one in settings(replacement, not each, CLASSES[1:])]
        )
    return [*own, *other]


def protocol(replacement: bool) -> str:
    """How drawings are drawn, in words."""
    return "with replacement" if replacement else "without replacement"


def count(each_class: bool) -> str:
    """What the columns count, in words."""
    return "items of each class" if each_class else "items altogether"


def classes_label(number: int) -> str:
    """The number of classes, in words."""
    return "1 class" if number == 1 else f"{number} classes"
