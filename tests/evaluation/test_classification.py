"""Classification by a rigged model whose accuracy is known, and pixels against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor

from tests import synthetic
from vmacore.config import ModelConfig
from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.evaluation.classification import Classification, Classifier, classify, few_shot_task
from vmacore.evaluation.rules import slot_log_joint
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms
from vmacore.models.vae import VariationalAutoencoder
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

COUNTS = [6, 9, 7, 6, 8, 12]


def _numbered(counts: list[int]) -> Characters:
    """Drawings that tell their class by the pixel that is ink in row 0, and their number within it by one below."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.zeros(len(labels), 8, 8, dtype=torch.uint8)
    images[torch.arange(len(labels)), 0, labels] = 1
    number = torch.cat([torch.arange(count) for count in counts])
    images[torch.arange(len(labels)), 1 + number // 8, number % 8] = 1
    return Characters(images, labels, tuple(str(index) for index in range(len(counts))))


class Rigged(VariationalMemoryAddressing):
    """Keys and queries of images [N, 1, H, W] by the functions given, and p(x, z|m_a) / q(z|x, m_a) by `evidence`."""

    def __init__(
        self,
        keys: Callable[[Tensor], Tensor],
        queries: Callable[[Tensor], Tensor],
        size: tuple[int, int] = (8, 8),
        learned_slots: int = 0,
        evidence: Callable[[Tensor, Tensor], Tensor] | None = None,
        log_prior: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        layout: dict[str, Any] = {"network": "fully-connected", "layers": (2, 2), "latent": 1, "embedding": 6}
        super().__init__(ModelConfig(size=size, similarity="inner", learned_slots=learned_slots, slot=6, **layout))
        self.functions = keys, queries, evidence, log_prior

    def keys(self, slots: Tensor) -> Tensor:
        return self.functions[0](slots)

    def queries(self, targets: Tensor) -> Tensor:
        return self.functions[1](targets)

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        log_prior = self.functions[3] or (lambda images: torch.zeros(len(images)).log_softmax(0))
        return EncodedMemory(slots, self.keys(slots), log_prior(slots))

    def log_terms(self, targets: Tensor, memory: EncodedMemory, address: Tensor, *_: Any, **__: Any) -> LogTerms:
        assert self.functions[2] is not None
        log_w = self.functions[2](targets, memory.slots).gather(1, address)
        return LogTerms(log_w, torch.zeros_like(log_w), torch.zeros_like(log_w), torch.zeros_like(log_w))


def _class(images: Tensor) -> Tensor:
    return images[:, 0, 0, :6].float()


def _nothing(images: Tensor) -> Tensor:
    return torch.zeros(len(images), 6)


PERFECT = Rigged(_class, lambda images: 3 * _class(images))


def _classify(model: GenerativeModel, characters: Characters, **changes: Any) -> Classification:
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
    model = Rigged(_class, lambda images: -3 * _class(images))
    assert _classify(model, _numbered(COUNTS)).accuracy == 0.0


def test_queries_that_know_nothing_are_right_by_chance() -> None:
    # All drawings are told to be of one class; classes are of one size here.
    assert _classify(Rigged(_class, _nothing), _numbered([7] * 6), way=4).accuracy == pytest.approx(1 / 4)


def test_embeddings_are_of_memory_and_of_queries_each() -> None:
    """Keys of slots, queries of targets: exchanged, the accuracy would be that of chance."""
    shifted = Rigged(lambda images: _class(images).roll(1, 1), lambda images: 3 * _class(images))
    assert _classify(shifted, _numbered(COUNTS), way=6).accuracy == 0.0


def test_a_class_is_told_by_the_sum_over_its_slots() -> None:
    """One slot of class 0 is a little closer to every query than those of class 1; together those weigh more."""

    def keys(images: Tensor) -> Tensor:
        kind, first = images[:, 0, 0].argmax(1), images[:, 0, 1, 0] == 1
        ours = torch.where(kind == 0, torch.where(first, 1.0, -100.0), 0.9)  # as queries of class 1 see it
        theirs = torch.where(kind == 0, 5.0, 0.0)  # as queries of class 0 do
        return torch.stack([ours, theirs], 1)

    def queries(images: Tensor) -> Tensor:
        return images[:, 0, 0, :2].flip(1)

    characters, model = _numbered([4, 4]), Rigged(keys, queries)
    assert _classify(model, characters, way=2, shot=3).accuracy == 1.0

    strong = 0  # episodes in which the largest slot alone would have said class 0
    for index in range(6):
        support, label, _, _ = few_shot_task(characters, 2, 3, 3, index)
        scores = keys(characters.images[support].float()[:, None])[:, 0]
        strong += int(characters.labels[support[scores.argmax()]] == 0)
        assert len(label) == 6
    assert strong > 0


def _noisy() -> Characters:
    """Binary drawings with so many flips that their neighbours are often of another class."""
    draw = torch.Generator().manual_seed(0)
    shapes = torch.rand(6, 8, 8, generator=draw) < 0.5
    labels = torch.arange(6).repeat_interleave(torch.tensor(COUNTS))
    flips = torch.rand(len(labels), 8, 8, generator=draw) < 0.3
    return Characters((shapes[labels] ^ flips).to(torch.uint8), labels, tuple(str(index) for index in range(6)))


@pytest.mark.parametrize("shot", [1, 3])
def test_nearest_neighbour_on_pixels_equals_scikit_learn(shot: int) -> None:
    characters = _noisy()
    pixels = characters.images.flatten(1).double().numpy()
    accuracies = []
    for index in range(6):
        support, support_label, query, query_label = few_shot_task(characters, 4, shot, 3, index)
        closest = pairwise_distances(pixels[query], pixels[support], metric="manhattan").argmin(
            1
        )  # the first of equals
        accuracies.append(float((support_label[closest] == query_label).double().mean()))
    found = _classify(Rigged(_nothing, _nothing), characters, shot=shot)
    mean = sum(accuracies) / 6
    assert 0.3 < mean < 1.0
    assert found.pixel_accuracy == pytest.approx(mean)
    deviation = math.sqrt(sum((accuracy - mean) ** 2 for accuracy in accuracies) / 5)
    assert found.pixel_ci95 == pytest.approx(1.96 * deviation / math.sqrt(6))


def test_the_interval_is_over_episodes() -> None:
    """A model that ranks slots by −‖x − m‖², as nearest neighbour on pixels does, gets the same numbers."""
    characters = _noisy()

    def keys(images: Tensor) -> Tensor:
        flat = images.flatten(1).double()
        return torch.cat([2 * flat, -(flat**2).sum(1, keepdim=True)], 1)

    def queries(images: Tensor) -> Tensor:
        flat = images.flatten(1).double()
        return torch.cat([flat, torch.ones(len(flat), 1)], 1)

    found = _classify(Rigged(keys, queries), characters, shot=1)
    assert found.accuracy == found.pixel_accuracy < 1.0
    assert found.ci95 == found.pixel_ci95 > 0.0


@pytest.mark.parametrize("classes", [6, 4])
def test_the_error_over_classes_is_of_the_classes_in_the_split(classes: int) -> None:
    """Even classes are always right and odd ones always wrong, wherever they stand in an episode."""

    def queries(images: Tensor) -> Tensor:
        sign = torch.tensor([3.0, -3.0]).repeat(3)
        return sign * _class(images)

    characters = _numbered(COUNTS[:classes])
    found = _classify(Rigged(_class, queries), characters, way=4, episodes=30)
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


def test_the_seed_decides() -> None:
    characters, model = _noisy(), Rigged(_nothing, _nothing)
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
    support, _, query, label = few_shot_task(characters, 6, 5, 3, 0)
    with torch.no_grad():
        posterior = model.address(images[query], model.read(images[support])).log_q.exp()
    first = (posterior.view(-1, 6, 5).sum(2).argmax(1) == label).double().mean()
    support, _, query, label = few_shot_task(characters, 6, 5, 3, 1)
    with torch.no_grad():
        posterior = model.address(images[query], model.read(images[support])).log_q.exp()
    second = (posterior.view(-1, 6, 5).sum(2).argmax(1) == label).double().mean()
    assert found.accuracy == pytest.approx(float(first + second) / 2, abs=2 / 510)


def _same_class(targets: Tensor, slots: Tensor) -> Tensor:
    """As log weights [Q, S]: a slot of the query's class is more likely than all others together."""
    return 10.0 * (_class(targets) @ _class(slots).T)


def test_the_likelihood_of_slots_decides_where_addresses_know_nothing() -> None:
    model = Rigged(_nothing, _nothing, evidence=_same_class)
    assert _classify(model, _numbered([7] * 6), rule="likelihood").accuracy == 1.0
    assert _classify(model, _numbered([7] * 6)).accuracy == pytest.approx(1 / 4)


def test_the_prior_of_a_slot_is_a_part_of_its_joint() -> None:
    """A prior that gives class 0 more than the likelihoods take from it."""

    def prior(slots: Tensor) -> Tensor:
        return (20.0 * slots[:, 0, 0, 0]).log_softmax(0)

    model = Rigged(_nothing, _nothing, evidence=_same_class, log_prior=prior)
    assert _classify(model, _numbered([7] * 6), way=6, rule="likelihood").accuracy == pytest.approx(1 / 6)


def test_a_mixture_hears_both() -> None:
    """The likelihood is right but for class 0, which q(a|x) knows; each alone errs."""

    def queries(images: Tensor) -> Tensor:
        return 4 * _class(images) * images[:, 0, 0, :1]

    def evidence(targets: Tensor, slots: Tensor) -> Tensor:
        return _same_class(targets, slots) * (1 - targets[:, 0, 0, :1])

    characters = _numbered([7] * 6)
    classifier = Classifier(Rigged(_class, queries, evidence=evidence), characters, seed=3)
    rules = ("likelihood", "mixture", "posterior")
    likelihood, both, posterior = classifier.measure(way=6, shot=2, episodes=3, rules=rules, weight=0.5)
    assert (likelihood.rule, both.rule, posterior.rule) == rules
    assert both.accuracy == 1.0
    assert max(likelihood.accuracy, posterior.accuracy) < 1.0
    assert (likelihood.samples, both.samples, posterior.samples) == (4, 4, None)
    assert (likelihood.weight, both.weight, posterior.weight) == (None, 0.5, None)


def test_rules_measured_together_are_those_measured_alone() -> None:
    torch.manual_seed(0)
    model, characters = VariationalMemoryAddressing(synthetic.MODEL), synthetic.characters([9] * 6)
    classifier = Classifier(model, characters, seed=3)
    together = classifier.measure(way=4, shot=2, episodes=6, rules=("posterior", "likelihood"), queries=3, samples=2)
    alone = [_classify(model, characters, rule=rule, queries=3, samples=2) for rule in ("posterior", "likelihood")]
    assert together == alone
    assert [item.queries_per_class for item in together] == [3, 3]
    assert alone[0].queries == 6 * 4 * 3


def test_accuracy_by_likelihood_is_that_of_the_estimates() -> None:
    torch.manual_seed(0)
    model, characters = VariationalMemoryAddressing(synthetic.MODEL), synthetic.characters([9] * 6)
    right = []
    for index in range(6):
        support, _, query, label = few_shot_task(characters, 4, 2, 3, index, 3)
        images = characters.images.float()[:, None]
        noise = generator(3, index, Stream.NOISE)
        joint = slot_log_joint(model, images[query], images[support], samples=5, generator=noise).exp()
        right.append(float((joint.view(12, 4, 2).sum(2).argmax(1) == label).float().mean()))
    found = _classify(model, characters, rule="likelihood", samples=5, queries=3)
    assert found.accuracy == pytest.approx(sum(right) / 6)
    assert 0 < found.accuracy < 1


def test_drawings_are_embedded_once_for_all_tasks() -> None:
    calls = []

    def counted(images: Tensor) -> Tensor:
        calls.append(len(images))
        return _class(images)

    classifier = Classifier(Rigged(counted, counted), _numbered(COUNTS))
    assert calls == []
    for way in (2, 4):
        classifier.measure(way=way, shot=2, episodes=3)
    assert calls == [sum(COUNTS), sum(COUNTS)]  # as memory, and as queries


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
        ({"rule": "oracle"}, "no rule 'oracle'; choose one of posterior, prototype, likelihood, mixture"),
        ({"samples": 0}, "samples and queries must be at least 1"),
        ({"queries": 0}, "samples and queries must be at least 1"),
    ],
)
def test_what_cannot_be_classified(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        _classify(PERFECT, _numbered(COUNTS), **changes)


def test_a_learned_memory_has_no_classes() -> None:
    with pytest.raises(VmaError, match="memory is learned"):
        _classify(Rigged(_class, _class, learned_slots=3), _numbered(COUNTS))


def test_a_model_without_addresses() -> None:
    with pytest.raises(VmaError, match=r"draws no address.*take a run of the vma system"):
        _classify(VariationalAutoencoder(synthetic.MODEL), _numbered(COUNTS))


def test_a_weight_that_is_none() -> None:
    with pytest.raises(VmaError, match=r"weight of the likelihood is 1\.5: choose 0 to 1"):
        Classifier(PERFECT, _numbered(COUNTS)).measure(way=4, shot=2, episodes=6, rules=("mixture",), weight=1.5)


def test_images_of_another_size() -> None:
    with pytest.raises(VmaError, match="images are 8×8, but the model reads 28×28"):
        _classify(Rigged(_class, _class, size=(28, 28)), _numbered(COUNTS))
