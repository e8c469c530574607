"""Classification by a rigged model whose accuracy is known, and pixels against scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor

from tests import synthetic
from tests.evaluation.rigged import COUNTS, PERFECT, Rigged, class_of, classified, noisy, nothing, numbered
from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import Classification, mean_of
from vmacore.evaluation.classification import Classifier, classify, few_shot_task
from vmacore.models.vae import VariationalAutoencoder
from vmacore.models.vma import VariationalMemoryAddressing


@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize("way", [2, 6])
def test_queries_that_know_their_class(way: int, shot: int) -> None:
    found = classified(PERFECT, numbered(COUNTS), way=way, shot=shot)
    assert (found.accuracy, found.ci95) == (1.0, 0.0)
    assert (found.way, found.shot, found.rule, found.episodes) == (way, shot, "posterior", 6)
    if way == 6:
        assert found.queries == 6 * (sum(COUNTS) - 6 * shot)


def test_queries_that_are_always_wrong() -> None:
    model = Rigged(class_of, lambda images: -3 * class_of(images))
    assert classified(model, numbered(COUNTS)).accuracy == 0.0


def test_queries_that_know_nothing_are_right_by_chance() -> None:
    # All drawings are told to be of one class; classes are of one size here.
    assert classified(Rigged(class_of, nothing), numbered([7] * 6), way=4).accuracy == pytest.approx(1 / 4)


def test_embeddings_are_of_memory_and_of_queries_each() -> None:
    """Keys of slots, queries of targets: exchanged, the accuracy would be that of chance."""
    shifted = Rigged(lambda images: class_of(images).roll(1, 1), lambda images: 3 * class_of(images))
    assert classified(shifted, numbered(COUNTS), way=6).accuracy == 0.0


def test_a_class_is_told_by_the_sum_over_its_slots() -> None:
    """One slot of class 0 is a little closer to every query than those of class 1; together those weigh more."""

    def keys(images: Tensor) -> Tensor:
        kind, first = images[:, 0, 0].argmax(1), images[:, 0, 1, 0] == 1
        ours = torch.where(kind == 0, torch.where(first, 1.0, -100.0), 0.9)  # as queries of class 1 see it
        theirs = torch.where(kind == 0, 5.0, 0.0)  # as queries of class 0 do
        return torch.stack([ours, theirs], 1)

    def queries(images: Tensor) -> Tensor:
        return images[:, 0, 0, :2].flip(1)

    characters, model = numbered([4, 4]), Rigged(keys, queries)
    assert classified(model, characters, way=2, shot=3).accuracy == 1.0

    strong = 0  # episodes in which the largest slot alone would have said class 0
    for index in range(6):
        support, label, _, _ = few_shot_task(characters, 2, 3, 3, index)
        scores = keys(characters.images[support].float()[:, None])[:, 0]
        strong += int(characters.labels[support[scores.argmax()]] == 0)
        assert len(label) == 6
    assert strong > 0


@pytest.mark.parametrize("shot", [1, 3])
def test_nearest_neighbour_on_pixels_equals_scikit_learn(shot: int) -> None:
    characters = noisy()
    pixels = characters.images.flatten(1).double().numpy()
    accuracies = []
    for index in range(6):
        support, support_label, query, query_label = few_shot_task(characters, 4, shot, 3, index)
        closest = pairwise_distances(pixels[query], pixels[support], metric="manhattan").argmin(
            1
        )  # the first of equals
        accuracies.append(float((support_label[closest] == query_label).double().mean()))
    found = classified(Rigged(nothing, nothing), characters, shot=shot)
    mean = sum(accuracies) / 6
    assert 0.3 < mean < 1.0
    assert found.pixel_accuracy == pytest.approx(mean)
    deviation = math.sqrt(sum((accuracy - mean) ** 2 for accuracy in accuracies) / 5)
    assert found.pixel_ci95 == pytest.approx(1.96 * deviation / math.sqrt(6))


def test_the_interval_is_over_episodes() -> None:
    """A model that ranks slots by −‖x − m‖², as nearest neighbour on pixels does, gets the same numbers."""
    characters = noisy()

    def keys(images: Tensor) -> Tensor:
        flat = images.flatten(1).double()
        return torch.cat([2 * flat, -(flat**2).sum(1, keepdim=True)], 1)

    def queries(images: Tensor) -> Tensor:
        flat = images.flatten(1).double()
        return torch.cat([flat, torch.ones(len(flat), 1)], 1)

    found = classified(Rigged(keys, queries), characters, shot=1)
    assert found.accuracy == found.pixel_accuracy < 1.0
    assert found.ci95 == found.pixel_ci95 > 0.0


@pytest.mark.parametrize("classes", [6, 4])
def test_the_error_over_classes_is_of_the_classes_in_the_split(classes: int) -> None:
    """Even classes are always right and odd ones always wrong, wherever they stand in an episode."""

    def queries(images: Tensor) -> Tensor:
        sign = torch.tensor([3.0, -3.0]).repeat(3)
        return sign * class_of(images)

    characters = numbered(COUNTS[:classes])
    found = classified(Rigged(class_of, queries), characters, way=4, episodes=30)
    asked = torch.zeros(classes, dtype=torch.float64)
    for index in range(30):
        query = few_shot_task(characters, 4, 2, 3, index).query
        asked += torch.bincount(characters.labels[query], minlength=classes).double() / len(query)
    right = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(classes // 2)
    accuracy = (asked * right).sum() / 30
    squares = (asked * (right - accuracy)).square().sum() * classes / (classes - 1)
    assert found.accuracy == pytest.approx(float(accuracy), rel=1e-12)
    assert found.ci95_classes == pytest.approx(1.96 * float(squares.sqrt()) / 30, rel=1e-12)
    assert found.ci95_classes > 3 * found.ci95


def test_embeddings_are_averaged_over_shifts() -> None:
    """Of one pixel: the mean over shifts is that of its surroundings."""

    def pixel(images: Tensor) -> Tensor:
        return images[:, 0, 1, 1:2]

    drawings = synthetic.characters([3, 3])
    plain, averaged = (Classifier(Rigged(pixel, pixel), drawings, shifts=shifts) for shifts in (0, 1))
    images = drawings.images.float()
    assert torch.equal(plain.keys[:, 0], images[:, 1, 1])
    torch.testing.assert_close(averaged.keys[:, 0], images[:, 0:3, 0:3].mean((1, 2)))
    torch.testing.assert_close(averaged.queries, averaged.keys)
    assert averaged.measure(way=2, shot=1, episodes=2)[0].shifts == 1


def test_the_mean_over_alphabets_counts_each_alike() -> None:
    first = Classification(5, 1, "posterior", 0.8, 0.3, 0.03, 10, 100, 0.5, 0.06, 0.6)
    second = replace(first, accuracy=0.6, ci95=0.4, ci95_classes=0.04, queries=300, pixel_accuracy=0.1, pixel_ci95=0.08)
    mean = mean_of([first, second])
    assert (mean.accuracy, mean.pixel_accuracy) == (pytest.approx(0.7), pytest.approx(0.3))
    assert (mean.ci95, mean.ci95_classes) == (pytest.approx(0.25), pytest.approx(0.025))
    assert (mean.pixel_ci95, mean.pixel_ci95_classes) == (pytest.approx(0.05), pytest.approx(0.6 / 2**0.5))
    assert (mean.episodes, mean.queries, mean.way) == (20, 400, 5)
    assert mean_of([first]) == first


def test_the_seed_decides() -> None:
    characters, model = noisy(), Rigged(nothing, nothing)
    first = classified(model, characters)
    torch.manual_seed(9)
    assert classified(model, characters) == first
    assert classified(model, characters, seed=4).pixel_accuracy != first.pixel_accuracy


def test_seed_0_by_default() -> None:
    characters, model, sizes = noisy(), Rigged(nothing, nothing), {"way": 4, "shot": 2, "episodes": 6}
    expected = classify(model, characters, **sizes, seed=0)
    assert classify(model, characters, **sizes) == expected
    assert Classifier(model, characters).measure(**sizes) == [expected]
    assert classify(model, characters, **sizes, seed=1) != expected


def test_a_real_model_on_more_drawings_than_one_batch_of_embeddings() -> None:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL)
    characters = synthetic.characters([90] * 6)
    found = classified(model, characters, way=6, shot=5, episodes=2)
    assert found.queries == 2 * 6 * 85
    images = characters.images.float()[:, None]
    support, _, query, label = few_shot_task(characters, 6, 5, 3, 0)
    with torch.no_grad():
        posterior = model.address(images[query], model.read(images[support])).log_q.exp()
    first = (posterior.view(-1, 6, 5).sum(2).argmax(1) == label).double().mean()
    support, _, query, label = few_shot_task(characters, 6, 5, 3, 1)
    with torch.no_grad():
        posterior = model.address(images[query], model.read(images[support])).log_q.exp()
    second = (posterior.view(-1, 6, 5).sum(2).argmax(1) == label).double().mean()
    assert found.accuracy == pytest.approx(float(first + second) / 2, abs=2 / 510)


def test_drawings_are_embedded_once_for_all_tasks() -> None:
    calls = []

    def counted(images: Tensor) -> Tensor:
        calls.append(len(images))
        return class_of(images)

    classifier = Classifier(Rigged(counted, counted), numbered(COUNTS))
    assert calls == []
    for way in (2, 4):
        classifier.measure(way=way, shot=2, episodes=3)
    assert calls == [sum(COUNTS), sum(COUNTS)]  # as memory, and as queries


def test_progress_counts_episodes() -> None:
    seen: list[tuple[int, int]] = []
    classified(PERFECT, numbered(COUNTS), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"way": 7}, "7-way asked for, but the split holds 6 classes"),
        ({"way": 1}, "1-way asked for"),
        ({"shot": 12}, "12-shot asked for, but no class has more than 12 drawings: choose 1 to 11"),
        ({"shot": 0}, "0-shot asked for"),
        ({"episodes": 1}, "at least 2 episodes"),
        ({"rule": "oracle"}, "no rule 'oracle'; choose one of posterior, prototype, likelihood, mixture"),
        ({"samples": 0}, "samples and queries must be at least 1"),
        ({"queries": 0}, "samples and queries must be at least 1"),
    ],
)
def test_what_cannot_be_classified(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        classified(PERFECT, numbered(COUNTS), **changes)


def test_a_learned_memory_has_no_classes() -> None:
    with pytest.raises(VmaError, match="memory is learned"):
        classified(Rigged(class_of, class_of, learned_slots=3), numbered(COUNTS))


def test_a_model_without_addresses() -> None:
    with pytest.raises(VmaError, match=r"draws no address.*take a run of the vma system"):
        classified(VariationalAutoencoder(synthetic.MODEL), numbered(COUNTS))


@pytest.mark.parametrize("weight", [1.5, -0.5])
def test_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(VmaError, match=rf"weight of the likelihood is {weight}: choose 0 to 1"):
        Classifier(PERFECT, numbered(COUNTS)).measure(way=4, shot=2, episodes=6, rules=("mixture",), weight=weight)


def test_images_of_another_size() -> None:
    with pytest.raises(VmaError, match="images are 8×8, but the model reads 28×28"):
        classified(Rigged(class_of, class_of, size=(28, 28)), numbered(COUNTS))
