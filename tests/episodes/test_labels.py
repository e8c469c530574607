"""Batches for labels: which drawings, in which symmetries, as which classes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests import synthetic
from vmacore.config import LabelsConfig
from vmacore.data.characters import Characters
from vmacore.data.sets import glyphs
from vmacore.episodes.augmentation import symmetries
from vmacore.episodes.labels import LabelBatches
from vmacore.errors import VmaError

CHARACTERS = synthetic.characters([10, 12, 9, 10])
STILL = LabelsConfig(weight=1.0, classes=6, drawings=3, jittered=0.0, bent=0.0)


def test_a_batch_holds_each_character_in_two_symmetries() -> None:
    seen = set()
    for step in range(40):
        batch = LabelBatches(CHARACTERS, STILL, seed=1).at(step)
        assert (len(batch.targets), len(batch.memory)) == (0, 18)
        assert batch.memory_labels.tolist() == torch.arange(6).repeat_interleave(3).tolist()
        characters = CHARACTERS.labels[batch.memory_index].view(3, 6)
        assert torch.equal(characters, characters[:, :1].expand(-1, 6))
        assert len(set(characters[:, 0].tolist())) == 3
        assert len(set(batch.memory_index.tolist())) == 18
        drawings = CHARACTERS.images[batch.memory_index].flatten(1).float()
        turns = [
            {k for k, s in enumerate(symmetries(8)) if torch.equal(drawings[rows][:, s], batch.memory[rows].flatten(1))}
            for rows in torch.arange(18).split(3)
        ]
        for first, second in zip(turns[::2], turns[1::2], strict=True):
            assert len(first) == len(second) == 1
            assert first != second
            seen |= first | second
    assert seen == set(range(8))


def test_a_batch_of_drawings_holds_each_in_two_symmetries_whatever_its_class() -> None:
    """Each drawing is there three times in either symmetry; other labels of the same drawings give the same batch."""
    alone = STILL.model_copy(update={"of": "drawings", "jittered": 1.0})
    other = replace(CHARACTERS, labels=(torch.arange(41) >= 20).long(), classes=("one", "other"))
    batch, same = (LabelBatches(characters, alone, seed=1).at(2) for characters in (CHARACTERS, other))
    assert torch.equal(batch.memory, same.memory)
    assert batch.memory_labels.tolist() == torch.arange(6).repeat_interleave(3).tolist()
    shown = batch.memory_index.view(3, 6)
    assert torch.equal(shown, shown[:, :1].expand(-1, 6))
    assert len(set(shown[:, 0].tolist())) == 3
    assert len({tuple(image.flatten().tolist()) for image in batch.memory}) > 12
    many = LabelBatches(CHARACTERS, alone.model_copy(update={"classes": 64, "drawings": 9})).at(0)
    assert len(many.memory) == 64 * 9


def test_every_drawing_is_changed_in_a_way_of_its_own() -> None:
    changed = STILL.model_copy(update={"jittered": 1.0, "bent": 1.0})
    still, batch, again, other = (
        LabelBatches(CHARACTERS, config, seed=2).at(step)
        for config, step in ((STILL, 3), (changed, 3), (changed, 3), (changed, 4))
    )
    assert torch.equal(batch.memory, again.memory)
    assert not torch.equal(batch.memory, other.memory)
    assert torch.equal(batch.memory_index, still.memory_index)
    moved = (batch.memory != still.memory).flatten(1).any(1)
    assert int(moved.sum()) >= 16
    assert set(batch.memory.unique().tolist()) == {0.0, 1.0}


def test_the_finer_view_keeps_its_shades() -> None:
    batch = LabelBatches(glyphs.make_alphabets(1, finer=True), STILL).at(0)
    assert batch.memory.shape[1:] == (1, 52, 52)
    assert set(batch.memory.unique().tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_strokes_of_finer_views_change() -> None:
    characters = glyphs.make_alphabets(1, finer=True)
    plain, changed = (
        LabelBatches(characters, STILL.model_copy(update={"strokes": strokes})).at(0).memory for strokes in (0.0, 1.0)
    )
    assert bool((changed.mean((1, 2, 3)) > 1.2 * plain.mean((1, 2, 3))).all())
    with pytest.raises(VmaError, match="only of finer views"):
        LabelBatches(CHARACTERS, STILL.model_copy(update={"strokes": 0.5}))


def test_what_cannot_be_had() -> None:
    with pytest.raises(VmaError, match=r"set labels\.drawings to 4 or less"):
        LabelBatches(CHARACTERS, STILL.model_copy(update={"drawings": 5}))
    three = synthetic.characters([9, 3])
    with pytest.raises(VmaError, match=r"one of this split has 3: set labels\.of to drawings"):
        LabelBatches(three, STILL)
    flat = replace(CHARACTERS, images=CHARACTERS.images[:, :6])
    assert isinstance(flat, Characters)
    with pytest.raises(VmaError, match="cannot be turned"):
        LabelBatches(flat, STILL)
    few = LabelBatches(CHARACTERS, STILL.model_copy(update={"classes": 64})).at(0)
    assert int(few.memory_labels.max()) == 7
