"""The error over classes, against formulas written out, a jackknife, and how much accuracies really differ."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vmacore.evaluation.accuracy import Z95, accuracy_of
from vmacore.evaluation.errors import clustered_se


def _answers(classes: int, episodes: int, way: int, seed: int, queries: int = 3) -> tuple[list[Tensor], list[Tensor]]:
    """Which queries are right and their classes, for classes that are anything from hopeless to certain."""
    draw = torch.Generator().manual_seed(seed)
    chance = torch.rand(classes, generator=draw, dtype=torch.float64)
    right, asked = [], []
    for _ in range(episodes):
        asked.append(torch.randperm(classes, generator=draw)[:way].repeat_interleave(queries))
        right.append(torch.rand(way * queries, generator=draw, dtype=torch.float64) < chance[asked[-1]])
    return right, asked


def _weighted(values: list[float], clusters: list[int], weights: list[float]) -> float:
    total = math.fsum(weights)
    mean = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total
    sums = {
        c: math.fsum(w * (v - mean) for w, v, own in zip(weights, values, clusters, strict=True) if own == c)
        for c in set(clusters)
    }
    squares = math.fsum(value**2 for value in sums.values())
    return math.sqrt(squares * len(sums) / (len(sums) - 1)) / total


def test_classes_asked_equally_often_are_a_plain_sample() -> None:
    """Then the error is that of the mean of one accuracy a class: s / √C."""
    right, asked = _answers(classes=8, episodes=25, way=8, seed=0)
    each = torch.stack([torch.cat(right)[torch.cat(asked) == c].double().mean() for c in range(8)])
    found = accuracy_of(right, asked)
    assert found.accuracy == pytest.approx(float(each.mean()), rel=1e-12)
    assert found.ci95_classes == pytest.approx(Z95 * float(each.std()) / math.sqrt(8), rel=1e-12)
    means = torch.stack([part.double().mean() for part in right])
    assert found.ci95 == pytest.approx(Z95 * float(means.std()) / math.sqrt(25), rel=1e-12)


def test_episodes_of_many_queries_count_no_more() -> None:
    right, asked = _answers(classes=9, episodes=12, way=4, seed=1)
    for index in range(0, 12, 3):  # in these a third of the queries is asked
        right[index], asked[index] = right[index][::3], asked[index][::3]
    weights = [1 / len(part) for part in right for _ in part]
    by_hand = _weighted(torch.cat(right).double().tolist(), torch.cat(asked).tolist(), weights)
    found = accuracy_of(right, asked)
    assert found.ci95_classes == pytest.approx(Z95 * by_hand, rel=1e-12)
    assert found.accuracy == pytest.approx(sum(float(part.double().mean()) for part in right) / 12, rel=1e-12)
    unweighted = clustered_se(torch.cat(right).double(), torch.cat(asked))
    assert abs(unweighted / by_hand - 1) > 0.01


def test_leaving_out_one_class_after_another_gives_the_same_error() -> None:
    right, asked = _answers(classes=60, episodes=200, way=5, seed=2)
    values, classes = torch.cat(right).double(), torch.cat(asked)
    without = torch.stack([values[classes != c].mean() for c in range(60)])
    jackknife = math.sqrt(59 / 60 * float((without - without.mean()).square().sum()))
    assert accuracy_of(right, asked).ci95_classes == pytest.approx(Z95 * jackknife, rel=0.03)


def test_the_error_over_classes_is_how_much_other_classes_differ() -> None:
    """Classes drawn anew each time: accuracies scatter as the error over classes says, far wider than over episodes."""
    found = [accuracy_of(*_answers(classes=30, episodes=150, way=5, seed=seed)) for seed in range(120)]
    scatter = float(torch.tensor([one.accuracy for one in found]).std())
    over_classes = math.sqrt(sum(one.ci95_classes**2 for one in found) / 120) / Z95
    over_episodes = math.sqrt(sum(one.ci95**2 for one in found) / 120) / Z95
    assert over_classes == pytest.approx(scatter, rel=0.2)  # the scatter is known to 1 / √238
    assert over_classes > 4 * over_episodes


def test_a_weight_is_so_many_copies() -> None:
    values, clusters = torch.tensor([1.0, 4.0, 2.0, 7.0], dtype=torch.float64), torch.tensor([0, 0, 1, 2])
    weights = torch.tensor([1, 2, 3, 1])
    copies = clustered_se(values.repeat_interleave(weights), clusters.repeat_interleave(weights))
    assert clustered_se(values, clusters, weights.double()) == pytest.approx(copies, rel=1e-12)
