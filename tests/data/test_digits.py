"""scikit-learn's digits as a data set."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from vmacore.data.characters import SPLITS, Dataset
from vmacore.data.sets import digits


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return digits.load()


def test_every_drawing_is_in_one_split(dataset: Dataset) -> None:
    # Compared as multisets of (label, pixels): nothing lost, nothing twice, no label torn from its image.
    bunch = load_digits()
    expected = np.concatenate([bunch.target[:, None], bunch.data], 1)
    parts = [dataset.split(name) for name in SPLITS]
    found = np.concatenate([np.c_[part.labels.numpy(), part.images.flatten(1).numpy()] for part in parts])

    assert len(found) == 1797
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


@pytest.mark.parametrize(("name", "share"), [("train", 0.6), ("validation", 0.2), ("test", 0.2)])
def test_split_holds_its_share_of_every_class(dataset: Dataset, name: str, share: float) -> None:
    characters = dataset.split(name)
    whole = torch.from_numpy(np.bincount(load_digits().target))

    assert characters.classes == tuple(f"digits/{digit}" for digit in range(10))
    assert (characters.counts - share * whole).abs().max() <= 1
    assert bool((characters.labels.diff() >= 0).all())
    assert characters.size == (8, 8)
    assert characters.levels == 16
    assert characters.images.dtype == torch.uint8
    assert int(characters.images.max()) == 16


@pytest.mark.parametrize("name", SPLITS)
def test_split_does_not_depend_on_seed_or_global_state(dataset: Dataset, name: str) -> None:
    np.random.seed(7)
    torch.manual_seed(7)
    again = digits.load(seed=3).split(name)

    assert torch.equal(again.images, dataset.split(name).images)
    assert torch.equal(again.labels, dataset.split(name).labels)


def test_says_how_it_was_made(dataset: Dataset) -> None:
    assert (dataset.name, dataset.protocol, dataset.preparation) == ("digits", "standard", "8x8")
    assert "Bernoulli" in dataset.binarisation
