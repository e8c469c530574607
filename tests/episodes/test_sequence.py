"""Sequences and the sets that targets are conditional on, under both protocols."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode
from vmacore.episodes.sequence import SequenceSampler, SetSampler
from vmacore.errors import VmaError

UNEVEN = [7, 12, 9, 7, 20]


def _sequences(characters: Characters, **changes: Any) -> SequenceSampler:
    options: dict[str, Any] = {"n_sequences": 4, "length": 7, "max_classes": 2, "seed": 3}
    return SequenceSampler(characters, **(options | changes))


def _sets(characters: Characters, **changes: Any) -> SetSampler:
    options: dict[str, Any] = {"n_classes": 3, "n_items": 4, "each_class": True, "seed": 3, "longest": 6}
    return SetSampler(characters, **(options | changes))


def _rows(index: Tensor, sampler: SequenceSampler) -> list[list[int]]:
    return index.view(sampler.n_sequences, sampler.length).tolist()


def _equal(one: Episode, two: Episode) -> bool:
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True) if a is not None)


def test_a_sequence_has_few_classes_and_no_drawing_twice() -> None:
    characters = synthetic.characters(UNEVEN)
    sampler = _sequences(characters)
    used: set[int] = set()
    for step in range(100):
        episode = sampler.at(step)
        for row in _rows(episode.target_index, sampler):
            assert len(set(row)) == 7
            classes = {int(characters.labels[index]) for index in row}
            assert 1 <= len(classes) <= 2
            used |= set(row)
        own = characters.labels[episode.target_index]
        for label in episode.target_labels.unique():
            assert len(own[episode.target_labels == label].unique()) == 1
        assert torch.equal(episode.targets[:, 0].to(torch.uint8), characters.images[episode.target_index])
    assert used == set(range(sum(UNEVEN)))


def test_each_image_sees_the_earlier_ones_of_its_sequence() -> None:
    sampler = _sequences(synthetic.characters(UNEVEN), n_sequences=3, length=4)
    episode = sampler.at(0)
    assert episode.targets is episode.memory
    assert episode.mask is not None
    for b in range(12):
        expected = [s for s in range(12) if s // 4 == b // 4 and s < b]
        assert episode.mask[b].nonzero().flatten().tolist() == expected


def test_with_replacement_drawings_come_again_at_the_rate_of_chance() -> None:
    """The chance that the last of T drawings of one class of n is among the earlier ones is 1 − (1 − 1/n)^(T − 1)."""
    characters = synthetic.characters([20] * 6)
    sampler = _sequences(characters, n_sequences=50, length=20, max_classes=1, replacement=True)
    rows = [row for step in range(40) for row in _rows(sampler.at(step).target_index, sampler)]
    share = sum(row[-1] in row[:-1] for row in rows) / len(rows)
    assert share == pytest.approx(1 - 0.95**19, abs=0.04)  # 62 %
    drawn = torch.tensor(rows).flatten()
    counts = torch.bincount(drawn, minlength=120)
    assert counts.min() > 0.7 * counts.float().mean()


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("levels", [1, 200])
def test_episodes_are_a_function_of_seed_and_step(replacement: bool, levels: int) -> None:
    characters = synthetic.characters([10] * 5, levels=levels)
    for make in (_sequences, _sets):
        one, two = make(characters, replacement=replacement), make(characters, replacement=replacement)
        later = two.at(9)
        assert _equal(one.at(4), two.at(4))
        assert _equal(one.at(9), later)
        assert not torch.equal(one.at(4).target_index, one.at(5).target_index) or not torch.equal(
            one.at(4).memory_index, one.at(5).memory_index
        )
        other = make(characters, replacement=replacement, seed=4).at(4)
        assert not torch.equal(one.at(4).memory_index, other.memory_index)


@pytest.mark.parametrize("each_class", [True, False])
@pytest.mark.parametrize("replacement", [False, True])
def test_targets_stay_and_sets_are_nested_as_they_grow(each_class: bool, replacement: bool) -> None:
    characters = synthetic.characters([7] * 5, levels=100)
    samplers = [_sets(characters, n_items=items, each_class=each_class, replacement=replacement) for items in range(7)]
    for step in range(20):
        episodes = [sampler.at(step) for sampler in samplers]
        for smaller, larger in pairwise(episodes):
            assert torch.equal(smaller.targets, larger.targets)
            assert torch.equal(smaller.memory, larger.memory[: len(smaller.memory)])
            assert len(larger.memory) - len(smaller.memory) == (3 if each_class else 1)
        assert len(episodes[0].memory) == 0
        if not replacement:
            every = torch.cat([episodes[-1].target_index, episodes[-1].memory_index]).tolist()
            assert len(set(every)) == len(every)


@pytest.mark.parametrize("replacement", [False, True])
def test_targets_are_the_same_whatever_the_set(replacement: bool) -> None:
    characters = synthetic.characters([20] * 30)
    samplers = [
        _sets(characters, n_classes=C, each_class=each, replacement=replacement, longest=19)
        for C in (1, 3, 16)
        for each in (True, False)
    ]
    for step in range(20):
        assert len({int(sampler.at(step).target_index) for sampler in samplers}) == 1


def test_sets_of_each_class_hold_as_many_of_all() -> None:
    characters = synthetic.characters([7] * 5)
    sampler = _sets(characters)
    targets = []
    for step in range(60):
        episode = sampler.at(step)
        classes = characters.labels[episode.memory_index]
        assert classes.unique(return_counts=True)[1].tolist() == [4, 4, 4]
        assert int(characters.labels[episode.target_index]) in classes
        assert (
            classes[episode.memory_labels == episode.target_labels].unique() == characters.labels[episode.target_index]
        )
        assert episode.mask is None
        targets.append(int(characters.labels[episode.target_index]))
    assert set(targets) == set(range(5))


def test_items_altogether_may_lack_the_targets_class() -> None:
    characters = synthetic.characters([7] * 5)
    sampler = _sets(characters, each_class=False, n_items=1)
    same = [
        torch.equal(characters.labels[episode.target_index], characters.labels[episode.memory_index])
        for episode in map(sampler.at, range(600))
    ]
    assert sum(same) / len(same) == pytest.approx(1 / 3, abs=0.06)


def test_too_much_asked_for_is_refused() -> None:
    characters = synthetic.characters([7] * 5)
    with pytest.raises(VmaError, match="6 classes asked for, but the split holds 5: ask for 1 to 5"):
        _sequences(characters, max_classes=6)
    with pytest.raises(VmaError, match=r"8 drawings in a row without replacement asked for, but a class .* has 7"):
        _sequences(characters, length=8)
    assert len(_sequences(characters, length=8, replacement=True).at(0).targets) == 32
    with pytest.raises(VmaError, match="8 drawings in a row"):
        _sets(characters, longest=7)
    with pytest.raises(ValueError, match="sets of 7 items, but the longest has 6"):
        _sets(characters, n_items=7)
