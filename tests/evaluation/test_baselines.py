"""Baselines against scikit-learn called directly and against distances written out."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from tests import synthetic
from vmacore.errors import VmaError
from vmacore.evaluation.baselines import Baseline, baselines
from vmacore.evaluation.classification import Classifier, few_shot_task
from vmacore.models.vma import VariationalMemoryAddressing

EPISODES, WAY, SEED = 4, 5, 2


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL)
    return Classifier(model, synthetic.characters([9, 12, 10, 9, 11, 9, 10]), seed=SEED)


def _measured(classifier: Classifier, shot: int, queries: int | None = None) -> dict[str, Baseline]:
    found = baselines(classifier, way=WAY, shot=shot, episodes=EPISODES, queries=queries)
    assert all((item.way, item.shot, item.episodes) == (WAY, shot, EPISODES) for item in found)
    return {item.name: item for item in found}


@pytest.mark.parametrize("shot", [1, 3])
def test_logistic_regression_equals_scikit_learn(classifier: Classifier, shot: int) -> None:
    pixels = classifier.characters.images.flatten(1).numpy().astype(float)
    right = []
    for index in range(EPISODES):
        support, support_label, query, query_label = few_shot_task(classifier.characters, WAY, shot, SEED, index)
        fitted = LogisticRegression(max_iter=1000).fit(pixels[support], support_label.numpy())
        right.append(fitted.score(pixels[query], query_label.numpy()))
    found = _measured(classifier, shot)["pixels-logistic"]
    assert found.accuracy == pytest.approx(sum(right) / EPISODES)
    assert found.accuracy > 1 / WAY


@torch.no_grad()
@pytest.mark.parametrize("memory", ["embeddings", "queries"])
def test_embeddings_are_compared_at_unit_length(classifier: Classifier, memory: str) -> None:
    images, shot = classifier.characters.images.float()[:, None], 3
    asked = classifier.model.queries(images)
    slots = classifier.model.keys(images) if memory == "embeddings" else asked
    asked, slots = (e.double() / e.double().norm(dim=1, keepdim=True) for e in (asked, slots))

    def distances(ours: Tensor, theirs: Tensor) -> Tensor:
        return (ours[:, None] - theirs[None]).square().sum(2)

    nearest, means = [], []
    for index in range(EPISODES):
        support, label, query, query_label = few_shot_task(classifier.characters, WAY, shot, SEED, index)
        by_slot = label[distances(asked[query], slots[support]).argmin(1)]
        nearest.append((by_slot == query_label).double().mean().item())
        mean = torch.stack([slots[support][label == c].mean(0) for c in range(WAY)])
        means.append((distances(asked[query], mean).argmin(1) == query_label).double().mean().item())
    found = _measured(classifier, shot)
    assert found[f"{memory}-nearest"].accuracy == pytest.approx(sum(nearest) / EPISODES)
    assert found[f"{memory}-mean"].accuracy == pytest.approx(sum(means) / EPISODES)


def test_the_nearest_embedding_is_the_largest_of_the_posterior(classifier: Classifier) -> None:
    found = _measured(classifier, 1)
    (posterior,) = classifier.measure(way=WAY, shot=1, episodes=EPISODES)
    assert found["embeddings-nearest"].accuracy == pytest.approx(posterior.accuracy)
    assert found["embeddings-nearest"].ci95 == pytest.approx(posterior.ci95)
    assert found["embeddings-nearest"].ci95_classes == pytest.approx(posterior.ci95_classes)
    assert posterior.ci95_classes > 0
    assert found["queries-nearest"].accuracy != pytest.approx(posterior.accuracy)


def test_the_same_queries_as_the_rules(classifier: Classifier) -> None:
    for queries in (2, None):
        (posterior,) = classifier.measure(way=WAY, shot=3, episodes=EPISODES, queries=queries)
        found = _measured(classifier, 3, queries)
        assert {item.queries for item in found.values()} == {posterior.queries}


def test_means_need_two_shots(classifier: Classifier) -> None:
    assert set(_measured(classifier, 1)) == {"pixels-logistic", "embeddings-nearest", "queries-nearest"}
    assert set(_measured(classifier, 2)) >= {"embeddings-mean", "queries-mean"}


def test_many_classes_of_one_drawing_are_no_cause_for_warnings() -> None:
    """Which scikit-learn gives from 21 on; here they would be errors."""
    model = VariationalMemoryAddressing(synthetic.MODEL)
    many = Classifier(model, synthetic.characters([3] * 25))
    assert len(baselines(many, way=25, shot=1, episodes=2)) == 3


def test_progress_counts_episodes(classifier: Classifier) -> None:
    seen: list[tuple[int, int]] = []
    baselines(classifier, way=2, shot=1, episodes=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_what_cannot_be_measured(classifier: Classifier) -> None:
    with pytest.raises(VmaError, match="8-way asked for"):
        baselines(classifier, way=8, shot=1, episodes=3)
    with pytest.raises(VmaError, match="at least 2 episodes"):
        baselines(classifier, way=5, shot=1, episodes=1)
