"""What each rule of classification hears, by a rigged model: addresses, likelihoods, or both."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests import synthetic
from tests.evaluation.rigged import Rigged, class_of, classified, nothing, numbered
from vmacore.evaluation.classification import Classifier, few_shot_task
from vmacore.evaluation.rules import slot_log_joint
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator


def _same_class(targets: Tensor, slots: Tensor) -> Tensor:
    """As log weights [Q, S]: a slot of the query's class is more likely than all others together."""
    return 10.0 * (class_of(targets) @ class_of(slots).T)


def test_the_likelihood_of_slots_decides_where_addresses_know_nothing() -> None:
    model = Rigged(nothing, nothing, evidence=_same_class)
    assert classified(model, numbered([7] * 6), rule="likelihood").accuracy == 1.0
    assert classified(model, numbered([7] * 6)).accuracy == pytest.approx(1 / 4)


def test_the_prior_of_a_slot_is_a_part_of_its_joint() -> None:
    """A prior that gives class 0 more than the likelihoods take from it."""

    def prior(slots: Tensor) -> Tensor:
        return (20.0 * slots[:, 0, 0, 0]).log_softmax(0)

    model = Rigged(nothing, nothing, evidence=_same_class, log_prior=prior)
    assert classified(model, numbered([7] * 6), way=6, rule="likelihood").accuracy == pytest.approx(1 / 6)


def test_a_mixture_hears_both() -> None:
    """The likelihood is right but for class 0, which q(a|x) knows; each alone errs."""

    def queries(images: Tensor) -> Tensor:
        return 4 * class_of(images) * images[:, 0, 0, :1]

    def evidence(targets: Tensor, slots: Tensor) -> Tensor:
        return _same_class(targets, slots) * (1 - targets[:, 0, 0, :1])

    characters = numbered([7] * 6)
    classifier = Classifier(Rigged(class_of, queries, evidence=evidence), characters, seed=3)
    rules = ("likelihood", "mixture", "posterior")
    likelihood, both, posterior = classifier.measure(way=6, shot=2, episodes=3, rules=rules, weight=0.5)
    assert (likelihood.rule, both.rule, posterior.rule) == rules
    assert both.accuracy == 1.0
    assert max(likelihood.accuracy, posterior.accuracy) < 1.0
    assert (likelihood.samples, both.samples, posterior.samples) == (4, 4, None)
    assert (likelihood.weight, both.weight, posterior.weight) == (None, 0.5, None)


def test_a_mixture_ends_in_either_rule() -> None:
    """With all the weight it is the likelihood, which is right; with none the posterior, which knows nothing."""
    classifier = Classifier(Rigged(nothing, nothing, evidence=_same_class), numbered([7] * 6), seed=3)
    for weight, accuracy in ((1.0, 1.0), (0.0, 1 / 4)):
        (found,) = classifier.measure(way=4, shot=2, episodes=3, rules=("mixture",), weight=weight)
        assert found.accuracy == pytest.approx(accuracy)


def test_rules_measured_together_are_those_measured_alone() -> None:
    torch.manual_seed(0)
    model, characters = VariationalMemoryAddressing(synthetic.MODEL), synthetic.characters([9] * 6)
    classifier = Classifier(model, characters, seed=3)
    together = classifier.measure(way=4, shot=2, episodes=6, rules=("posterior", "likelihood"), queries=3, samples=2)
    alone = [classified(model, characters, rule=rule, queries=3, samples=2) for rule in ("posterior", "likelihood")]
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
    found = classified(model, characters, rule="likelihood", samples=5, queries=3)
    assert found.accuracy == pytest.approx(sum(right) / 6)
    assert 0 < found.accuracy < 1
