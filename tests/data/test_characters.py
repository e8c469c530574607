"""Drawings of character classes."""

from __future__ import annotations

import pytest
import torch

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.errors import VmaError

UNEVEN = synthetic.characters([3, 1, 5])


def test_counts_and_offsets() -> None:
    assert UNEVEN.n_classes == 3
    assert UNEVEN.size == (8, 8)
    assert UNEVEN.counts.tolist() == [3, 1, 5]
    assert UNEVEN.offsets.tolist() == [0, 3, 4, 9]
    for label in range(3):
        drawings = UNEVEN.labels[UNEVEN.offsets[label] : UNEVEN.offsets[label + 1]]
        assert drawings.tolist() == [label] * len(drawings)


def test_a_class_without_drawings_is_counted() -> None:
    characters = Characters(UNEVEN.images[:4], torch.tensor([0, 0, 2, 2]), ("a", "b", "c", "d"))
    assert characters.counts.tolist() == [2, 0, 2, 0]
    assert characters.offsets.tolist() == [0, 2, 2, 4, 4]


def test_select_relabels_in_the_order_given() -> None:
    chosen = synthetic.characters([3, 1, 5], levels=7).select([2, 0])
    whole = synthetic.characters([3, 1, 5], levels=7)
    assert chosen.labels.tolist() == [0] * 5 + [1] * 3
    assert chosen.classes == (whole.classes[2], whole.classes[0])
    assert torch.equal(chosen.images, torch.cat([whole.images[4:], whole.images[:3]]))
    assert chosen.levels == 7


def test_select_nothing() -> None:
    nothing = UNEVEN.select([])
    assert (len(nothing.images), nothing.n_classes, nothing.size) == (0, 0, (8, 8))


def test_binary_drawings_stay_as_they_are() -> None:
    assert UNEVEN.binarised(3) is UNEVEN


def test_binarised_is_fixed_by_its_seed() -> None:
    shaded = synthetic.characters([20, 20], levels=16)
    once = shaded.binarised(0)
    torch.rand(3)
    assert torch.equal(once.images, shaded.binarised(0).images)
    assert not torch.equal(once.images, shaded.binarised(1).images)
    assert once.levels == 1
    assert set(once.images.unique().tolist()) == {0, 1}
    assert torch.equal(once.labels, shaded.labels)
    assert once.classes == shaded.classes


@pytest.mark.parametrize("levels", [16, 255])
def test_binarised_follows_the_intensities(levels: int) -> None:
    intensities = torch.tensor([0, levels // 4, levels // 2, levels], dtype=torch.uint8)
    images = intensities.repeat_interleave(10_000).view(4, 100, 100)
    ink = Characters(images, torch.zeros(4, dtype=torch.int64), ("a",), levels).binarised(0).images.double()
    for drawing, intensity in zip(ink, intensities.tolist(), strict=True):
        mean = intensity / levels
        error = (mean * (1 - mean) / 10_000) ** 0.5  # 0 for paper and full ink, which are certain
        assert abs(float(drawing.mean()) - mean) <= 4 * error


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 8, 8), torch.zeros(2), "uint8"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2), "uint8"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), torch.zeros(3), "2 images but labels"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), torch.tensor([1, 0]), "sorted"),
    ],
)
def test_what_are_no_characters(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Characters(images, labels.long(), ("a", "b"))


def test_splits_by_name() -> None:
    dataset = synthetic.dataset()
    assert dataset.split("train") is dataset.train
    assert dataset.split("validation") is dataset.validation
    assert dataset.split("test") is dataset.test
    with pytest.raises(VmaError, match="no split 'name'; choose one of train, validation, test"):
        dataset.split("name")


@pytest.mark.parametrize(("reached", "levels"), [(17, 16), (2, 1), (0, 0), (16, 256)])
def test_levels_are_the_value_of_full_ink(reached: int, levels: int) -> None:
    images = torch.full((1, 8, 8), reached, dtype=torch.uint8)
    with pytest.raises(ValueError, match=f"pixels reach {reached}, but levels is {levels}"):
        Characters(images, torch.zeros(1, dtype=torch.int64), ("a",), levels)
    assert Characters(images, torch.zeros(1, dtype=torch.int64), ("a",), max(reached, 1)).levels >= reached
