"""The same drawings as 0 and 1, and as 0 and 255 of 255 levels: whoever takes `Characters` gives the same numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.evaluation.baselines import baselines
from vmacore.evaluation.classification import Classifier, classify
from vmacore.evaluation.likelihood import score, score_episodes
from vmacore.evaluation.sampling import sample_grid
from vmacore.evaluation.tasks import RULES
from vmacore.experiments.lab.nested import NestedSampler
from vmacore.models.vae import VariationalAutoencoder
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.shelf import EPISODES

BINARY = synthetic.characters([9] * 6)
FULL_INK = replace(BINARY, images=BINARY.images * 255, levels=255)
GREY = synthetic.characters([9] * 6, levels=255)


@pytest.fixture(scope="module")
def model() -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    return VariationalMemoryAddressing(synthetic.MODEL)


def test_classification_by_every_rule(model: VariationalMemoryAddressing) -> None:
    task = {"way": 4, "shot": 2, "episodes": 5, "rules": RULES, "samples": 2, "queries": 3}
    binary = Classifier(model, BINARY).measure(**task)
    assert Classifier(model, FULL_INK).measure(**task) == binary
    assert all(0 < found.accuracy < 1 for found in binary)  # with some room for a difference


def test_baselines(model: VariationalMemoryAddressing) -> None:
    binary, full_ink = (
        baselines(Classifier(model, characters), way=5, shot=2, episodes=3) for characters in (BINARY, FULL_INK)
    )
    assert full_ink == binary


def test_grey_levels_are_classified_as_drawings_fixed_by_the_seed(model: VariationalMemoryAddressing) -> None:
    """As the command does, whose binarisation is that of the data's seed."""
    found = classify(model, GREY, way=4, shot=2, episodes=5, seed=3)
    assert found == classify(model, GREY.binarised(3), way=4, shot=2, episodes=5, seed=3)
    classifier = Classifier(model, GREY, seed=3)
    assert classifier.pixels.unique().tolist() == [0, 1]
    assert classifier.images(torch.arange(4)).max() == 1


def test_likelihood(model: VariationalMemoryAddressing) -> None:
    binary, full_ink = (
        score(model, characters, classes=3, shots=2, targets=2, samples=3, episodes=2)
        for characters in (BINARY, FULL_INK)
    )
    assert full_ink == binary
    assert 0 < binary.nll < 64  # nats of 64 pixels


def test_samples(model: VariationalMemoryAddressing) -> None:
    binary, full_ink = (
        sample_grid(model, characters, classes=3, shots=2, columns=2) for characters in (BINARY, FULL_INK)
    )
    assert torch.equal(full_ink.slots, binary.slots)
    assert torch.equal(full_ink.samples, binary.samples)


@pytest.mark.parametrize(
    "episode",
    [
        {"memory": "few-shot"},
        {"memory": "few-shot", "turned": 1.0, "warped": 0.5},
        {"memory": "none"},
        {"memory": "recall", "slots": 8},
        {"memory": "sequence", "sequences": 2, "length": 5},
    ],
    ids=lambda episode: "-".join(map(str, episode)) + "-" + episode["memory"],
)
def test_episodes(episode: dict[str, object]) -> None:
    config = synthetic.EPISODE.changed(**episode)
    binary, full_ink, grey = (
        EPISODES[config.memory].make(config, characters, 2, "cpu").at(1) for characters in (BINARY, FULL_INK, GREY)
    )
    if "turned" not in episode:  # grey levels are turned with values in between
        assert torch.equal(full_ink.targets, binary.targets)
        assert torch.equal(full_ink.memory, binary.memory)
        mean = GREY.images[grey.target_index].double() / 255
        error = float((mean * (1 - mean)).sum().sqrt())  # of the number of pixels that are ink
        assert abs(float(grey.targets.sum() - mean.sum())) < 4 * error
    for drawings in (full_ink.targets, grey.targets, grey.memory):
        assert set(drawings.unique().tolist()) <= {0, 1}


def test_likelihood_of_other_samplers() -> None:
    torch.manual_seed(0)
    vae = VariationalAutoencoder(synthetic.MODEL)
    nested = [
        NestedSampler(characters, classes=3, shots=2, targets=2, seed=0) for characters in (BINARY, FULL_INK, GREY)
    ]
    binary, full_ink, grey = (score_episodes(vae, sampler, samples=2, episodes=2) for sampler in nested)
    assert full_ink == binary
    assert 0 < grey.nll < 64


def test_drawings_whose_levels_are_not_said() -> None:
    """0 and 255 with levels left at 1 would reach the networks as they are."""
    with pytest.raises(ValueError, match="pixels reach 255, but levels is 1: give levels the value of full ink"):
        Characters(BINARY.images * 255, BINARY.labels, BINARY.classes)
