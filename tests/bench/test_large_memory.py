"""Slots made of drawings: whose they are, that no target is among them, and what a measurement holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import synthetic
from vmacore.bench.large_memory import Variants, costs, query_times, shifted_and_slanted
from vmacore.data.characters import Characters
from vmacore.data.sets import glyphs
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError
from vmacore.memory.large import open_memory, write_memory
from vmacore.models.vma import VariationalMemoryAddressing

CHARACTERS = synthetic.characters([5, 9, 4])


@pytest.mark.parametrize("slots", [3, 20, 9001])
def test_slots_are_made_of_every_class_and_of_no_target(slots: int) -> None:
    variants = Variants(CHARACTERS, slots)
    labels, source, target = variants.labels, variants.source_index, variants.target_index
    assert labels.shape == source.shape == (slots,)
    counts = labels.bincount(minlength=3)
    assert int(counts.max() - counts.min()) <= 1
    assert bool((labels.diff() >= 0).all())
    assert torch.equal(CHARACTERS.labels[source], labels)
    assert CHARACTERS.labels[target].bincount().tolist() == [2, 2, 2]
    assert not set(source.tolist()) & set(target.tolist())
    if slots >= 20:  # every other drawing is used
        assert sorted({*source.tolist(), *target.tolist()}) == list(range(18))
    parts = list(variants.parts())
    assert sum(len(part) for part in parts) == slots
    assert torch.equal(torch.cat(parts), torch.cat(list(variants.parts())))


def test_too_few_slots_or_drawings_are_refused() -> None:
    with pytest.raises(VmaError, match="3 classes"):
        Variants(CHARACTERS, 2)
    with pytest.raises(VmaError, match="one for the slots"):
        Variants(CHARACTERS, 30, held=4)
    with pytest.raises(VmaError, match="of binary drawings"):
        Variants(synthetic.characters([5, 9, 4], levels=16), 20)


def test_shifts_and_slants_move_ink_and_keep_it_binary() -> None:
    images = torch.zeros(200, 26, 26, dtype=torch.uint8)
    images[:, 6:20, 13] = 1  # an upright stroke in the middle
    moved = shifted_and_slanted(images, (26, 26), torch.Generator().manual_seed(0))
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) == {0, 1}
    assert len(moved.unique(dim=0)) > 150
    ink = moved.nonzero()
    assert 6 - 3 <= int(ink[:, 1].min()) < 6 < 19 < int(ink[:, 1].max()) <= 19 + 3
    # Half the height times the slant, and the shift.
    assert 13 - 5 <= int(ink[:, 2].min()) < 11
    assert 15 < int(ink[:, 2].max()) <= 13 + 5
    rows = moved.sum((1, 2)).float()
    assert float(rows.mean()) == pytest.approx(14, abs=1)  # no ink is lost or made
    assert float(rows.min()) >= 13


def test_times_of_a_query_and_its_product(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, variants = VariationalMemoryAddressing(synthetic.MODEL), Variants(CHARACTERS, 300)
    write_memory(tmp_path / "m", model, variants.parts(), 300, labels=variants.labels, classes=3)
    memory = open_memory(tmp_path / "m", model)
    targets = CHARACTERS.images[variants.target_index].float()[:, None]
    for count in (1, 6):
        times = query_times(model, memory, targets[:count], rounds=3)
        assert times.targets == count
        assert min(times.query, times.product, times.embedding, times.ratio) > 0
    write_memory(tmp_path / "plain", model, variants.parts(), 300)
    with pytest.raises(VmaError, match="no classes"):
        query_times(model, open_memory(tmp_path / "plain", model), targets)


def test_a_memory_is_taken_again_for_the_same_drawings_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, built = VariationalMemoryAddressing(synthetic.MODEL), []

    def measure(characters: Characters) -> None:
        asked = {"targets": 2, "samples": 1, "rounds": 1, "progress": lambda done, total: built.append(done)}
        costs(model, Variants(characters, 30), tmp_path, **asked)  # type: ignore[arg-type]

    measure(CHARACTERS)
    assert built.pop() == 30
    built.clear()
    measure(CHARACTERS)
    assert built == []
    next(tmp_path.glob("*.json")).write_text("{")  # cut short
    measure(CHARACTERS)
    assert built.pop() == 30
    built.clear()
    measure(synthetic.characters([5, 9, 4], seed=1))
    assert built.pop() == 30


def test_slots_of_finer_views_are_shades_and_move_as_far() -> None:
    pixels, finer = (Variants(glyphs.make_alphabets(1, 3, 4, finer=view), 12, 1) for view in (False, True))
    (shades,), (binary,) = finer.parts(), pixels.parts()
    assert shades.shape == (12, 52, 52)
    assert set(shades.unique().tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}
    # Alike but for the rounding of a shift to whole pixels of either view.
    alike = pixels_of(shades[:, None])[:, 0]
    assert float((alike * binary).sum() / torch.maximum(alike, binary.float()).sum()) > 0.5
