"""Made-up symbols: of a seed, in both views, and as unlike each other as classes should be."""

from __future__ import annotations

import pytest
import torch

from vmacore.data import load_dataset
from vmacore.data.sets import shapes
from vmacore.data.views import pixels_of


def test_both_views_are_of_the_same_drawings() -> None:
    pixels, finer = (shapes.make_shapes(6, seed=2, finer=view) for view in (False, True))
    assert (pixels.size, finer.size, finer.levels) == ((26, 26), (26, 26), 4)
    assert torch.equal(pixels_of(finer.images[:, None] / 4)[:, 0].byte(), pixels.images)
    assert pixels.counts.tolist() == [20] * 6
    assert bool(pixels.images.flatten(1).any(1).all())  # nothing is blank


def test_a_class_is_the_same_however_many_are_made() -> None:
    many, few = shapes.make_shapes(5, seed=1), shapes.make_shapes(2, seed=1, first=3)
    assert torch.equal(many.images[60:], few.images)
    assert many.classes[3:] == few.classes
    assert not torch.equal(many.images, shapes.make_shapes(5, seed=2).images)


def test_drawings_of_a_class_are_filled_or_outlined() -> None:
    ink = shapes.make_shapes(30, seed=0, finer=True).images.float().mean((1, 2)).view(30, 20)
    assert float((ink.amax(1) / ink.amin(1)).median()) > 2


def test_classes_can_be_told_apart() -> None:
    """The nearest of 20 means of ten drawings, by pixels blurred: far above chance, and no toy."""
    images = shapes.make_shapes(20, seed=0, finer=True).images.float()[:, None]
    seen = torch.nn.functional.avg_pool2d(images, 8, stride=4).flatten(1)
    seen = torch.nn.functional.normalize(seen, dim=1).view(20, 20, -1)
    nearest = torch.cdist(seen[:, 10:].flatten(0, 1), seen[:, :10].mean(1)).argmin(1).view(20, 10)
    right = float((nearest == torch.arange(20)[:, None]).float().mean())
    assert 0.3 < right < 0.95


def test_splits_share_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shapes.CLASSES == {"train": 800, "validation": 100, "test": 100}
    monkeypatch.setattr(shapes, "CLASSES", {"train": 8, "validation": 3, "test": 2})
    dataset = load_dataset("shapes", view="finer")
    splits = [dataset.train, dataset.validation, dataset.test]
    assert [split.n_classes for split in splits] == [8, 3, 2]
    assert len({name for split in splits for name in split.classes}) == 13
