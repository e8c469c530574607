"""Printed characters: of the fonts at hand, in both views, no two alike, and nothing of the scripts left out."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
import torch

from vmacore.config import load_recipe
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.data.sets import printed
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError


@pytest.fixture(scope="module")
def finer() -> Characters:
    return printed.make_printed(finer=True)


def test_both_views_are_of_the_same_drawings(finer: Characters) -> None:
    pixels = printed.make_printed()
    assert (pixels.size, finer.size, finer.levels) == ((26, 26), (26, 26), 4)
    assert torch.equal(pixels_of(finer.images[:, None] / 4)[:, 0].byte(), pixels.images)
    assert bool(pixels.images.flatten(1).any(1).all())  # nothing is blank


def test_a_class_is_a_character_in_many_faces(finer: Characters) -> None:
    assert {"Printed/latin-small-letter-a", "Printed/digit-three", "Printed/percent-sign"} <= set(finer.classes)
    assert int(finer.counts.min()) < int(finer.counts.max()) == 16
    own = finer.images[finer.labels == finer.classes.index("Printed/latin-small-letter-a")].float()
    ink = own.mean((1, 2))
    assert float(ink.max() / ink.min()) > 1.5  # bold and plain ones
    assert len(own.flatten(1).unique(dim=0)) == len(own)


def test_scripts_to_be_judged_on_and_accents_are_left_out(finer: Characters) -> None:
    words = {word for name in finer.classes for word in name.split("/")[1].split("-")}
    assert {"latin", "greek", "cyrillic"} <= words
    assert not {"georgian", "armenian", "hebrew", "acute", "braille", "drawings"} & words


def test_what_looks_like_another_upright_turned_or_mirrored_is_left_out(finer: Characters) -> None:
    def has(*names: str) -> int:
        return sum(f"Printed/{name}" in finer.classes for name in names)

    assert has("latin-capital-letter-a", "greek-capital-letter-alpha", "cyrillic-capital-letter-a") <= 1
    assert has("latin-capital-letter-o", "latin-small-letter-o", "greek-small-letter-omicron", "digit-zero") == 1
    assert has("latin-small-letter-d", "latin-small-letter-q") <= 1
    assert has("leftwards-arrow", "rightwards-arrow", "upwards-arrow", "downwards-arrow") == 1
    assert has("less-than-sign", "greater-than-sign") == 1


def test_splits_share_no_class() -> None:
    dataset = load_dataset("printed", view="finer")
    splits = [dataset.train, dataset.validation, dataset.test]
    names = [name for split in splits for name in split.classes]
    assert len(names) == len(set(names))
    assert abs(dataset.train.n_classes / len(names) - 0.8) < 0.01
    assert abs(dataset.validation.n_classes - dataset.test.n_classes) <= 1
    takes = load_recipe("printed").episode
    assert min(int(split.counts.min()) for split in splits) >= takes.shots + takes.targets


def test_the_seed_decides_sizes_alone(finer: Characters) -> None:
    other = printed.make_printed(seed=1, finer=True)
    assert not torch.equal(other.images[:16], finer.images[:16])
    assert other.classes == finer.classes


def test_a_missing_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(VmaError, match=r"a font is missing in .*: install matplotlib again"):
        printed.make_printed()
