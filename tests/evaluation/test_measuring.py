"""Kinds of task measured together are the same as each alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests import synthetic
from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import mean_of
from vmacore.evaluation.baselines import baselines
from vmacore.evaluation.classification import Classifier
from vmacore.evaluation.measuring import measure_tasks
from vmacore.evaluation.tasks import EPISODES, EPISODES_DECODING, QUERIES_DECODING, FewShotTasks
from vmacore.models import create_model

CHARACTERS = synthetic.characters([6] * 8, levels=9)
TASKS = FewShotTasks(kinds=((3, 1), (4, 2)), rules=("posterior", "prototype"), episodes=3, seed=2, baselines=2)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(create_model(synthetic.MODEL).eval(), CHARACTERS, seed=2)


def test_each_kind_by_each_rule(classifier: Classifier) -> None:
    counted: list[tuple[int, int]] = []
    found = measure_tasks(
        classifier.model, CHARACTERS, TASKS, answers=True, progress=lambda done, total: counted.append((done, total))
    )
    alone = [
        classifier.measure(way=way, shot=shot, episodes=3, rules=("posterior", "prototype"))
        for way, shot in TASKS.kinds
    ]
    assert found.results == [result for results in alone for result in results]
    assert found.baselines == [
        fitted for way, shot in TASKS.kinds for fitted in baselines(classifier, way=way, shot=shot, episodes=2)
    ]
    assert found.by_alphabet == []
    assert counted == [(done, 10) for done in range(1, 11)]
    assert sum(row.queries for row in found.per_class()) == sum(result.queries for result in found.results)
    wrong = sum(row.queries - row.right for row in found.per_class())
    assert wrong == sum(pair.count for pair in found.confusions()) > 0


def test_within_alphabets(classifier: Classifier) -> None:
    names = tuple(f"{'ABC'[c // 3]}/{c}" for c in range(8))  # C has two classes
    characters = replace(CHARACTERS, classes=names).binarised(2)
    tasks = FewShotTasks(kinds=((3, 1), (2, 1)), episodes=3, seed=2, within_alphabet=True)
    found = measure_tasks(classifier.model, characters, tasks)
    for result, parts in zip(found.results, found.by_alphabet, strict=True):
        assert list(parts) == ["A", "B"]
        assert result == mean_of(list(parts.values()))
    with pytest.raises(VmaError, match="no alphabet of this split has 4 classes"):
        measure_tasks(classifier.model, characters, replace(tasks, kinds=((4, 1),)))
    with pytest.raises(VmaError, match="without within_alphabet"):
        measure_tasks(classifier.model, characters, tasks, answers=True)
    with pytest.raises(VmaError, match="without within_alphabet"):
        replace(tasks, baselines=1)


def test_a_kind_that_cannot_be_measured_costs_no_other(classifier: Classifier) -> None:
    with pytest.raises(VmaError, match="the split holds 8 classes"):
        measure_tasks(
            classifier.model, CHARACTERS, FewShotTasks(kinds=((3, 1), (9, 1))), progress=lambda *_: pytest.fail("began")
        )


def test_fewer_episodes_and_queries_where_a_rule_decodes() -> None:
    assert (FewShotTasks().n_episodes, FewShotTasks().n_queries) == (EPISODES, None)
    decoding = FewShotTasks(rules=("posterior", "mixture"), baselines=500)
    assert (decoding.n_episodes, decoding.n_queries, decoding.n_baselines) == (
        EPISODES_DECODING,
        QUERIES_DECODING,
        EPISODES_DECODING,
    )
