"""Classification by a rigged model whose accuracy is known, and pixels against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.evaluation.classification import Classification, _episode, classify
from vmacore.models.vma import VariationalMemoryAddressing

COUNTS = [6, 9, 7, 6, 8, 12]


def _numbered(counts: list[int]) -> Characters:
    """Drawings that tell their class in pixel (0, 0) and their number within it in pixel (0, 1)."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.zeros(len(labels), 8, 8, dtype=torch.uint8)
    images[:, 0, 0] = labels
    images[:, 0, 1] = torch.cat([torch.arange(count) for count in counts])
    return Characters(images, labels, tuple(str(index) for index in range(len(counts))))


def _rigged(
    keys: Callable[[Tensor], Tensor],
    queries: Callable[[Tensor], Tensor],
    size: tuple[int, int] = (8, 8),
    learned: object = None,
) -> VariationalMemoryAddressing:
    """What classification asks of a model; keys and queries of images [N, 1, H, W]."""
    rigged = SimpleNamespace(
        size=size, learned_memory=learned, config=SimpleNamespace(similarity="inner"), keys=keys, queries=queries
    )
    return cast(VariationalMemoryAddressing, rigged)


def _class(images: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 6).float()


def _nothing(images: Tensor) -> Tensor:
    return torch.zeros(len(images), 6)


PERFECT = _rigged(_class, lambda images: 3 * _class(images))


def _classify(model: VariationalMemoryAddressing, characters: Characters, **changes: Any) -> Classification:
    return classify(model, characters, **{"way": 4, "shot": 2, "episodes": 6, "seed": 3, **changes})


@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize("way", [2, 6])
def test_queries_that_know_their_class(way: int, shot: int) -> None:
    found = _classify(PERFECT, _numbered(COUNTS), way=way, shot=shot)
    assert (found.accuracy, found.ci95) == (1.0, 0.0)
    assert (found.way, found.shot, found.rule, found.episodes) == (way, shot, "posterior", 6)
    if way == 6:
        assert found.queries == 6 * (sum(COUNTS) - 6 * shot)


def test_queries_that_are_always_wrong() -> None:
    model = _rigged(_class, lambda images: -3 * _class(images))
    assert _classify(model, _numbered(COUNTS)).accuracy == 0.0


def test_queries_that_know_nothing_are_right_by_chance() -> None:
    # All drawings are told to be of one class; classes are of one size here.
    assert _classify(_rigged(_class, _nothing), _numbered([7] * 6), way=4).accuracy == pytest.approx(1 / 4)


def test_embeddings_are_of_memory_and_of_queries_each() -> None:
    """Keys of slots, queries of targets: exchanged, the accuracy would be that of chance."""
    shifted = _rigged(lambda images: _class(images).roll(1, 1), lambda images: 3 * _class(images))
    assert _classify(shifted, _numbered(COUNTS), way=6).accuracy == 0.0


def test_a_class_is_told_by_the_sum_over_its_slots() -> None:
    """One slot of class 0 is a little closer to every query than those of class 1; together those weigh more."""

    def keys(images: Tensor) -> Tensor:
        kind, number = images[:, 0, 0, 0], images[:, 0, 0, 1]
        ours = torch.where(kind == 0, torch.where(number == 0, 1.0, -100.0), 0.9)  # as queries of class 1 see it
        theirs = torch.where(kind == 0, 5.0, 0.0)  # as queries of class 0 do
        return torch.stack([ours, theirs], 1)

    def queries(images: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(1 - images[:, 0, 0, 0].long(), 2).float()

    characters, model = _numbered([4, 4]), _rigged(keys, queries)
    assert _classify(model, characters, way=2, shot=3).accuracy == 1.0

    strong = 0  # episodes in which the largest slot alone would have said class 0
    for index in range(6):
        support, label, _, _ = _episode(characters, 2, 3, 3, index, "cpu")
        scores = keys(characters.images[support].float()[:, None])[:, 0]
        strong += int(characters.labels[support[scores.argmax()]] == 0)
        assert len(label) == 6
    assert strong > 0


@pytest.mark.parametrize("index", range(10))
def test_queries_are_all_drawings_left_over(index: int) -> None:
    characters = _numbered(COUNTS)
    support, support_label, query, query_label = _episode(characters, 4, 2, 0, index, "cpu")
    assert support_label.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    classes = [int(label) for label in characters.labels[support][::2]]
    assert len(set(classes)) == 4
    assert torch.equal(characters.labels[support], torch.tensor(classes)[support_label])
    assert torch.equal(characters.labels[query], torch.tensor(classes)[query_label])
    used = support.tolist() + query.tolist()
    assert sorted(used) == [drawing for drawing, label in enumerate(characters.labels.tolist()) if label in classes]


def test_episodes_draw_every_class_and_drawing() -> None:
    characters = _numbered(COUNTS)
    support = torch.cat([_episode(characters, 4, 2, 0, index, "cpu")[0] for index in range(200)])
    assert len(support.unique()) == sum(COUNTS)


def _shaded() -> Characters:
    """Intensities so many that no two distances are equal."""
    draw = torch.Generator().manual_seed(0)
    shapes = torch.randint(108, 148, (6, 8, 8), generator=draw)
    labels = torch.arange(6).repeat_interleave(torch.tensor(COUNTS))
    noise = torch.randint(-108, 108, (len(labels), 8, 8), generator=draw)
    images = (shapes[labels] + noise).clamp(0, 255).to(torch.uint8)
    return Characters(images, labels, tuple(str(index) for index in range(6)), levels=255)


@pytest.mark.parametrize("shot", [1, 3])
def test_nearest_neighbour_on_pixels_equals_scikit_learn(shot: int) -> None:
    characters = _shaded()
    pixels = characters.images.flatten(1).double().numpy()
    accuracies = []
    for index in range(6):
        support, support_label, query, query_label = _episode(characters, 4, shot, 3, index, "cpu")
        neighbours = KNeighborsClassifier(n_neighbors=1, algorithm="brute").fit(pixels[support], support_label)
        accuracies.append(neighbours.score(pixels[query], query_label))
    found = _classify(_rigged(_nothing, _nothing), characters, shot=shot)
    mean = sum(accuracies) / 6
    assert 0.3 < mean < 1.0
    assert found.pixel_accuracy == pytest.approx(mean)
    deviation = math.sqrt(sum((accuracy - mean) ** 2 for accuracy in accuracies) / 5)
    assert found.pixel_ci95 == pytest.approx(1.96 * deviation / math.sqrt(6))


def test_the_interval_is_over_episodes() -> None:
    """A model that ranks slots by −‖x − m‖², as nearest neighbour on pixels does, gets the same numbers."""
    characters = _shaded()

    def keys(images: Tensor) -> Tensor:
        flat = images.flatten(1).double() / 255
        return torch.cat([2 * flat, -(flat**2).sum(1, keepdim=True)], 1)

    def queries(images: Tensor) -> Tensor:
        flat = images.flatten(1).double() / 255
        return torch.cat([flat, torch.ones(len(flat), 1)], 1)

    found = _classify(_rigged(keys, queries), characters, shot=1)
    assert found.accuracy == found.pixel_accuracy < 1.0
    assert found.ci95 == found.pixel_ci95 > 0.0


def test_the_seed_decides() -> None:
    characters, model = _shaded(), _rigged(_nothing, _nothing)
    first = _classify(model, characters)
    torch.manual_seed(9)
    assert _classify(model, characters) == first
    assert _classify(model, characters, seed=4).pixel_accuracy != first.pixel_accuracy


def test_a_real_model_on_more_drawings_than_one_batch_of_embeddings() -> None:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL)
    characters = synthetic.characters([90] * 6)
    found = _classify(model, characters, way=6, shot=5, episodes=2)
    assert found.queries == 2 * 6 * 85
    images = characters.images.float()[:, None]
    support, _, query, label = _episode(characters, 6, 5, 3, 0, "cpu")
    with torch.no_grad():
        posterior = model.address(images[query], model.read(images[support])).log_q.exp()
    first = (posterior.view(-1, 6, 5).sum(2).argmax(1) == label).double().mean()
    support, _, query, label = _episode(characters, 6, 5, 3, 1, "cpu")
    with torch.no_grad():
        posterior = model.address(images[query], model.read(images[support])).log_q.exp()
    second = (posterior.view(-1, 6, 5).sum(2).argmax(1) == label).double().mean()
    assert found.accuracy == pytest.approx(float(first + second) / 2, abs=2 / 510)


def test_progress_counts_episodes() -> None:
    seen: list[tuple[int, int]] = []
    _classify(PERFECT, _numbered(COUNTS), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"way": 7}, "7-way asked for, but the split holds 6 classes"),
        ({"way": 1}, "1-way asked for"),
        ({"shot": 6}, "6-shot asked for, but a class has 6 drawings: choose 1 to 5"),
        ({"shot": 0}, "0-shot asked for"),
        ({"episodes": 1}, "at least 2 episodes"),
        ({"rule": "oracle"}, "no rule 'oracle'; choose one of posterior"),
    ],
)
def test_what_cannot_be_classified(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        _classify(PERFECT, _numbered(COUNTS), **changes)


def test_a_learned_memory_has_no_classes() -> None:
    with pytest.raises(VmaError, match="memory is learned"):
        _classify(_rigged(_class, _class, learned=object()), _numbered(COUNTS))


def test_images_of_another_size() -> None:
    with pytest.raises(VmaError, match="images are 8×8, but the model reads 28×28"):
        _classify(_rigged(_class, _class, size=(28, 28)), _numbered(COUNTS))
