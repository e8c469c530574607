"""All training data for own pictures in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import synthetic
from vmacore.data import load_dataset
from vmacore.data.sets.all_symbols import joined
from vmacore.errors import VmaError


def test_classes_of_all_parts_in_order() -> None:
    first, second = synthetic.characters([2, 3]), synthetic.characters([4], seed=1)
    both = joined([first, second])
    assert both.counts.tolist() == [2, 3, 4]
    assert torch.equal(both.images, torch.cat([first.images, second.images]))
    assert both.classes == (*first.classes, *second.classes)


def test_omniglot_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="run `vma download omniglot`"):
        load_dataset("all-symbols", data_dir=tmp_path)


def test_all_of_omniglot_printed_glyphs_and_shapes(real_omniglot: Path) -> None:
    dataset = load_dataset("all-symbols", data_dir=real_omniglot, view="finer")
    assert dataset.train.n_classes == 1461 + 255 + 816 + 800
    assert dataset.validation.n_classes == 162 + 32 + 96 + 100
    assert dataset.test.n_classes == 0
    assert (dataset.train.view, dataset.train.size) == ("finer", (26, 26))
    assert not set(dataset.train.classes) & set(dataset.validation.classes)
