"""Tasks of classification: which drawings are in memory, and which are asked."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import synthetic
from vmacore.evaluation.classification import classify, few_shot_task
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.weights import build_model

COUNTS = [6, 9, 7, 6, 8, 12]


@given(st.lists(st.integers(2, 8), min_size=2, max_size=7), st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.data())
def test_a_task_asks_every_drawing_left_over(counts: list[int], seed: int, index: int, data: st.DataObject) -> None:
    characters = synthetic.characters(counts)
    way = data.draw(st.integers(2, characters.n_classes))
    shot = data.draw(st.integers(1, int(characters.counts.min()) - 1))
    queries = data.draw(st.none() | st.integers(1, 8))
    task = few_shot_task(characters, way, shot, seed, index, queries)
    classes = characters.labels[task.support].view(way, shot)[:, 0]
    assert len(set(classes.tolist())) == way
    assert torch.equal(characters.labels[task.support], classes[task.support_label])
    assert torch.equal(characters.labels[task.query], classes[task.query_label])
    used = task.support.tolist() + task.query.tolist()
    assert len(set(used)) == len(used)
    left = characters.counts[classes] - shot
    assert task.query_label.bincount().tolist() == (left if queries is None else left.clamp(max=queries)).tolist()


def test_episodes_draw_every_class_and_drawing() -> None:
    characters = synthetic.characters(COUNTS)
    support = torch.cat([few_shot_task(characters, 4, 2, 0, index)[0] for index in range(200)])
    assert len(support.unique()) == sum(COUNTS)


def test_fewer_queries_are_the_first_of_each_class() -> None:
    characters = synthetic.characters(COUNTS)
    everything, few = few_shot_task(characters, 6, 2, 0, 1), few_shot_task(characters, 6, 2, 0, 1, 5)
    assert torch.equal(everything.support, few.support)
    for label in range(6):
        those = everything.query[everything.query_label == label]
        assert torch.equal(few.query[few.query_label == label], those[:5])
    assert len(few.query) == sum(min(5, count - 2) for count in COUNTS)


def test_with_one_slot_a_class_its_prototype_is_the_slot() -> None:
    model = build_model(synthetic.config())
    assert isinstance(model, VariationalMemoryAddressing)
    characters = synthetic.characters(COUNTS)
    posterior, prototype = (
        classify(model, characters, way=4, shot=1, episodes=5, rule=rule) for rule in ("posterior", "prototype")
    )
    assert posterior.accuracy == prototype.accuracy
    assert prototype.rule == "prototype"
