"""Answers to single queries: by class, which classes are taken for one another, and as a table for elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.evaluation.csv_file import save_csv

HEADER = ("file", "label", "predicted", "probability", "way", "shot", "rule", "episode")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a rule answered in an episode of a kind of task.

    drawing: int64 [Q], of the split. predicted: int64 [Q], a class of the split. probability: [Q], of that class.
    """

    way: int
    shot: int
    rule: str
    episode: int
    drawing: Tensor
    predicted: Tensor
    probability: Tensor


@dataclass(frozen=True)
class ClassAccuracy:
    """Queries of a class, and how many were answered right."""

    name: str
    queries: int
    right: int

    @property
    def accuracy(self) -> float:
        return self.right / self.queries


@dataclass(frozen=True)
class Confusion:
    """How often drawings of a class were taken for another's, of all queries of that class."""

    label: str
    predicted: str
    count: int
    queries: int


def per_class(characters: Characters, answers: Sequence[Answers]) -> list[ClassAccuracy]:
    """Every class that was asked, the least accurate first."""
    label, predicted = _classes(characters, answers)
    asked = torch.bincount(label, minlength=characters.n_classes).tolist()
    right = torch.bincount(label[label == predicted], minlength=characters.n_classes).tolist()
    rows = [
        ClassAccuracy(name, queries, hits)
        for name, queries, hits in zip(characters.classes, asked, right, strict=True)
        if queries
    ]
    return sorted(rows, key=lambda row: row.accuracy)


def confusions(characters: Characters, answers: Sequence[Answers]) -> list[Confusion]:
    """Pairs of classes that were confused, the most frequent first."""
    label, predicted = _classes(characters, answers)
    asked = torch.bincount(label, minlength=characters.n_classes).tolist()
    wrong = label != predicted
    counts = Counter(zip(label[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    names = characters.classes
    return [Confusion(names[c], names[other], count, asked[c]) for (c, other), count in counts.most_common()]


def write_csv(path: Path, characters: Characters, answers: Sequence[Answers]) -> None:
    """A line for each query, with HEADER above.

    Raises:
        VmaError: the file cannot be written.
    """
    rows = []
    for part in answers:
        columns = (part.drawing.tolist(), part.predicted.tolist(), part.probability.tolist())
        for drawing, predicted, probability in zip(*columns, strict=True):
            label = characters.classes[int(characters.labels[drawing])]
            row = (characters.drawing(drawing), label, characters.classes[predicted], f"{probability:.4f}")
            rows.append((*row, part.way, part.shot, part.rule, part.episode))
    save_csv(path, HEADER, rows)


def _classes(characters: Characters, answers: Sequence[Answers]) -> tuple[Tensor, Tensor]:
    """The class of every query and the one answered, int64 [Q] of all episodes."""
    label = characters.labels[torch.cat([part.drawing for part in answers])]
    return label, torch.cat([part.predicted for part in answers])
