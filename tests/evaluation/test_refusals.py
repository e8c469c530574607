"""What is refused as none of the classes in memory: the decisions of `vma identify`, counted over tasks."""

from __future__ import annotations

import pytest
import torch

from tests.evaluation.rigged import COUNTS, Rigged, class_of, nothing, numbered
from tests.memory.test_pictures import PREPARATION, characters, make_model
from vmacore.errors import VmaError
from vmacore.evaluation.classification import Classifier
from vmacore.evaluation.identify import Identifier
from vmacore.evaluation.refusals import measure_refusals, unknown_queries
from vmacore.memory.pictures import read_pictures

TASK = {"way": 3, "shot": 3, "episodes": 4}


@pytest.mark.parametrize("view", ["pixels", "finer"])
def test_what_identify_refuses_is_counted(view: str) -> None:
    model, drawings = make_model(view), characters([9, 8, 7, 9, 8, 9])
    classifier = Classifier(model, drawings if view == "finer" else drawings.in_pixels(), seed=2)
    found = measure_refusals(classifier, **TASK, reject=0.2, queries=4)
    parts: tuple[list[float], list[float]] = [], []
    areas = []
    for index in range(TASK["episodes"]):
        task = classifier.task(index, TASK["way"], TASK["shot"], 4)
        in_memory = drawings.select(drawings.labels[task.support].view(3, 3)[:, 0].tolist())
        kept = torch.isin(torch.arange(len(drawings.images)), task.support)
        names = {drawings.files[slot] for slot in task.support.tolist()}
        left = [file for file in in_memory.files if file not in names]
        memory = read_pictures(model, in_memory, PREPARATION, "some-run").without(left).calibrated(model)
        assert len(memory) == int(kept.sum())
        identifier = Identifier(model, memory, 0.2)
        unknown = unknown_queries(classifier, task.support, len(task.query), index)
        known = []
        for part, query in zip(parts, (task.query, unknown), strict=True):
            answers = identifier.drawings(drawings.images[query], [drawings.files[place] for place in query.tolist()])
            part.append(sum(answer.label is None for answer in answers) / len(answers))
            known.append([answer.known for answer in answers])
        pairs = [(one > other) + 0.5 * (one == other) for one in known[0] for other in known[1]]
        areas.append(sum(pairs) / len(pairs))
    assert 0 < sum(parts[0]) < 4
    assert (found.known.part, found.unknown.part) == pytest.approx([sum(part) / 4 for part in parts])
    assert (found.known.queries, found.unknown.queries) == (48, 48)
    assert found.auroc == pytest.approx(sum(areas) / 4, abs=1e-3)
    assert found.cosine_auroc != found.auroc


def test_unknown_queries_are_of_classes_without_a_slot() -> None:
    classifier = Classifier(Rigged(class_of, class_of), numbered(COUNTS), seed=1)
    task = classifier.task(0, 4, 2)
    present = set(classifier.labels[task.support].tolist())
    absent = sum(count for label, count in enumerate(COUNTS) if label not in present)
    for count, expected in ((5, 5), (1000, absent)):
        drawings = unknown_queries(classifier, task.support, count, 0)
        assert len(drawings.unique()) == len(drawings) == expected
        assert present.isdisjoint(classifier.labels[drawings].tolist())
    first = [unknown_queries(classifier, task.support, 5, index).tolist() for index in (0, 0, 1)]
    assert first[0] == first[1] != first[2]


def test_the_best_and_the_worst_there_is() -> None:
    perfect = Classifier(Rigged(class_of, class_of), numbered(COUNTS))
    found = measure_refusals(perfect, way=4, shot=3, episodes=5, reject=0.05)
    assert (found.auroc, found.cosine_auroc) == (1, 1)
    assert (found.known.part, found.unknown.part) == (0, 1)
    blind = measure_refusals(Classifier(Rigged(class_of, nothing), numbered(COUNTS)), **TASK, reject=0.05)
    assert (blind.cosine_auroc, blind.known.part, blind.unknown.part) == (0.5, 0, 0)


def test_with_one_drawing_a_class_nothing_is_refused() -> None:
    found = measure_refusals(Classifier(make_model(), numbered(COUNTS)), way=3, shot=1, episodes=3, reject=0.5)
    assert (found.known.part, found.unknown.part) == (0, 0)
    assert found.auroc == found.cosine_auroc


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"way": 6}, "--way below 6"),
        ({"reject": 1.0}, "choose 0 to 1"),
        ({"shot": 12}, "12-shot"),
        ({"way": 7}, "2 to"),
    ],
)
def test_what_cannot_be_measured(changes: dict[str, float], words: str) -> None:
    classifier = Classifier(Rigged(class_of, class_of), numbered(COUNTS))
    with pytest.raises(VmaError, match=words):
        measure_refusals(classifier, **{**TASK, "reject": 0.05, **changes})
