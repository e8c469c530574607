"""Answers by class and query, and tasks whose classes have unequal numbers of drawings."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.evaluation.answers import HEADER, Answers, Confusion, confusions, per_class, write_csv
from vmacore.evaluation.classification import Classifier, few_shot_task
from vmacore.models.vma import VariationalMemoryAddressing

COUNTS = (5, 1, 4, 2, 6, 2)
CHARACTERS = synthetic.characters(COUNTS)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(VariationalMemoryAddressing(synthetic.MODEL), CHARACTERS)


def _given(*answers: tuple[int, int, float], rule: str = "posterior") -> Answers:
    drawing, predicted, probability = zip(*answers, strict=True)
    return Answers(3, 1, rule, 7, torch.tensor(drawing), torch.tensor(predicted), torch.tensor(probability))


ANSWERS = [_given((0, 0, 0.9), (1, 2, 0.6), (7, 2, 0.5)), _given((2, 2, 0.4), (8, 0, 0.75), (12, 4, 1.0))]


def test_classes_and_the_pairs_that_are_confused() -> None:
    rows = per_class(CHARACTERS, ANSWERS)
    names = CHARACTERS.classes
    assert [(row.name, row.right, row.queries) for row in rows] == [
        (names[0], 1, 3),
        (names[2], 1, 2),
        (names[4], 1, 1),
    ]
    assert rows[0].accuracy == pytest.approx(1 / 3)
    assert confusions(CHARACTERS, ANSWERS) == [Confusion(names[0], names[2], 2, 3), Confusion(names[2], names[0], 1, 2)]


def test_a_line_a_query(tmp_path: Path) -> None:
    files = tuple(f"a, {row}.png" for row in range(len(CHARACTERS.labels)))
    for characters, name in ((replace(CHARACTERS, files=files), "a, 8.png"), (CHARACTERS, "Made/character02/2")):
        write_csv(tmp_path / "new" / "answers.csv", characters, ANSWERS)
        with (tmp_path / "new" / "answers.csv").open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert tuple(header) == HEADER
        assert len(rows) == 6
        assert rows[4] == [name, "Made/character02", "Made/character00", "0.7500", "3", "1", "posterior", "7"]
    with pytest.raises(VmaError, match="choose another --csv"):
        write_csv(tmp_path / "new" / "answers.csv" / "below.csv", CHARACTERS, ANSWERS)


def test_answers_are_those_that_accuracy_counts(classifier: Classifier) -> None:
    answers: list[Answers] = []
    found = classifier.measure(way=4, shot=1, episodes=5, rules=("posterior", "prototype"), record=answers.append)
    assert [(part.rule, part.episode) for part in answers] == [
        (rule, index) for index in range(5) for rule in ("posterior", "prototype")
    ]
    for item in found:
        own = [part for part in answers if part.rule == item.rule]
        right = [(part.predicted == CHARACTERS.labels[part.drawing]).double().mean() for part in own]
        assert float(torch.stack(right).mean()) == pytest.approx(item.accuracy)
        assert sum(row.queries for row in per_class(CHARACTERS, own)) == item.queries
    for part in answers:
        task = few_shot_task(CHARACTERS, 4, 1, 0, part.episode)
        assert torch.equal(part.drawing, task.query)
        assert set(part.predicted.tolist()) <= set(CHARACTERS.labels[task.support].tolist())
        assert ((part.probability >= 0.25 - 1e-6) & (part.probability <= 1 + 1e-6)).all()


def test_a_class_without_drawings_left_is_in_memory_alone() -> None:
    seen = set()
    for index in range(40):
        support, _, query, query_label = few_shot_task(CHARACTERS, 3, 2, 0, index)
        classes = CHARACTERS.labels[support].view(3, 2)
        assert (classes[:, 0] == classes[:, 1]).all()
        assert 1 not in classes  # of one drawing
        asked = [c for c in classes[:, 0].tolist() if COUNTS[c] > 2]
        assert CHARACTERS.labels[query].unique().tolist() == sorted(asked)
        assert torch.equal(classes[query_label, 0], CHARACTERS.labels[query])
        assert len(query)
        seen |= set(classes[:, 0].tolist())
    assert seen == {0, 2, 3, 4, 5}


def test_every_task_asks_something() -> None:
    characters = synthetic.characters([1] * 9 + [3])
    for index in range(20):
        task = few_shot_task(characters, 2, 1, 0, index)
        assert len(task.query) == 2
        assert (characters.labels[task.query] == 9).all()
        assert len(characters.labels[task.support].unique()) == 2


@pytest.mark.parametrize(
    ("counts", "shot", "words"),
    [
        ([1, 1, 1], 1, "every class has one drawing, for memory, and none to ask: add drawings"),
        ([1, 4, 2], 4, "4-shot asked for, but no class has more than 4 drawings: choose 1 to 3"),
        ([1, 4, 2], 3, "2-way asked for, but 1 classes have 3 drawings: ask for fewer of either"),
        ([], 1, "2-way asked for, but the split holds 0 classes"),
    ],
)
def test_what_cannot_be_asked(counts: list[int], shot: int, words: str) -> None:
    characters: Characters = synthetic.characters(counts) if counts else CHARACTERS.select([])
    classifier = Classifier(VariationalMemoryAddressing(synthetic.MODEL), characters)
    with pytest.raises(VmaError, match=words):
        classifier.measure(way=2, shot=shot, episodes=2)
