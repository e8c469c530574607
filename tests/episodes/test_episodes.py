"""Episodes: disjoint, of the same classes, and a pure function of (seed, step)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.episodes import training_sampler
from vmacore.episodes.base import Episode
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.episodes.none import MinibatchSampler
from vmacore.episodes.recall import RecallSampler
from vmacore.errors import VmaError

COUNTS = [7, 5, 12, 5, 6, 20]
UNEVEN = synthetic.characters(COUNTS)


def _sampler(characters: Characters = UNEVEN, **sizes: int) -> EpisodeSampler:
    return EpisodeSampler(characters, **{"n_way": 4, "n_shot": 2, "n_target": 3, "seed": 0, **sizes})  # type: ignore[arg-type]


def _fields(episode: Episode) -> list[Tensor]:
    return [value for value in vars(episode).values() if value is not None]


def _equal(one: Episode, two: Episode) -> bool:
    return all(torch.equal(*pair) for pair in zip(_fields(one), _fields(two), strict=True))


@pytest.mark.parametrize("step", range(20))
def test_an_episode(step: int) -> None:
    episode = _sampler().at(step)
    assert episode.targets.shape == (12, 1, 8, 8)
    assert episode.memory.shape == (8, 1, 8, 8)
    assert episode.targets.dtype == episode.memory.dtype == torch.float32
    assert episode.target_labels.tolist() == [label for label in range(4) for _ in range(3)]
    assert episode.memory_labels.tolist() == [label for label in range(4) for _ in range(2)]

    # The drawings are those that the indices name.
    assert torch.equal(episode.targets[:, 0], UNEVEN.images[episode.target_index].float())
    assert torch.equal(episode.memory[:, 0], UNEVEN.images[episode.memory_index].float())

    # Disjoint, nothing twice.
    drawings = episode.target_index.tolist() + episode.memory_index.tolist()
    assert len(set(drawings)) == len(drawings) == 20

    # The same classes, in the same places: never an index beyond a class, however few drawings it has.
    target_class = UNEVEN.labels[episode.target_index].view(4, 3)
    memory_class = UNEVEN.labels[episode.memory_index].view(4, 2)
    assert torch.equal(target_class, target_class[:, :1].expand(4, 3))
    assert torch.equal(memory_class, target_class[:, :1].expand(4, 2))
    assert len(target_class[:, 0].unique()) == 4


def test_whole_classes_can_be_used_up() -> None:
    episode = _sampler(n_way=6, n_shot=2, n_target=3).at(0)
    for few in (1, 3):  # five drawings each
        used = torch.cat([episode.target_index, episode.memory_index])
        assert sorted(used[UNEVEN.labels[used] == few].tolist()) == torch.where(UNEVEN.labels == few)[0].tolist()


def test_the_same_whatever_came_before() -> None:
    fresh = _sampler().at(17)
    used = _sampler()
    for step in (3, 17, 0, 16):
        used.at(step)
    torch.manual_seed(5)
    assert _equal(used.at(17), fresh)


def test_every_step_and_seed_has_its_own() -> None:
    episodes = [_sampler(seed=seed).at(step) for seed in range(5) for step in range(5)]
    seen = {tuple(episode.target_index.tolist() + episode.memory_index.tolist()) for episode in episodes}
    assert len(seen) == 25


def test_every_drawing_is_reached_in_every_role() -> None:
    sampler = _sampler()
    targets, memory = set(), set()
    for step in range(400):
        episode = sampler.at(step)
        targets.update(episode.target_index.tolist())
        memory.update(episode.memory_index.tolist())
    assert targets == memory == set(range(sum(COUNTS)))


def test_classes_and_drawings_are_drawn_evenly() -> None:
    sampler = _sampler(n_way=2, n_shot=1, n_target=1)
    classes, drawings = torch.zeros(6), torch.zeros(20)
    for step in range(3_000):
        index = sampler.at(step).memory_index
        labels = UNEVEN.labels[index]
        classes += labels.bincount(minlength=6)
        largest = index[labels == 5] - UNEVEN.offsets[5]
        drawings += largest.bincount(minlength=20)
    assert float((classes / 1_000 - 1).abs().max()) < 0.13  # four standard errors
    expected = float(drawings.sum()) / 20
    assert float((drawings - expected).abs().max()) < 4 * expected**0.5


def test_intensities_become_binary_anew_in_every_step() -> None:
    images = torch.full((12, 8, 8), 8, dtype=torch.uint8)
    images[:, 0], images[:, 1] = 0, 16
    half = Characters(images, torch.arange(12) // 6, ("a", "b"), levels=16)
    sampler = EpisodeSampler(half, n_way=2, n_shot=3, n_target=3, seed=0)
    first, again, other = sampler.at(0), sampler.at(0), sampler.at(1)
    assert _equal(first, again)
    for episode in (first, other):
        pixels = torch.cat([episode.targets, episode.memory])
        assert set(pixels.unique().tolist()) == {0.0, 1.0}
        assert float(pixels[:, 0, 0].max()) == 0.0  # paper stays paper
        assert float(pixels[:, 0, 1].min()) == 1.0  # ink stays ink
    drawn = torch.cat([sampler.at(step).targets[:, 0, 2:] for step in range(100)])
    assert abs(float(drawn.mean()) - 0.5) < 4 * 0.5 / drawn.numel() ** 0.5
    noise = [episode.memory[:, 0, 2:] for episode in (first, other)]
    assert not torch.equal(*noise)
    assert not torch.equal(first.memory[:, 0, 2:], first.targets[:, 0, 2:])


def test_classes_shared_out_to_several_memories() -> None:
    episode = _sampler(n_way=6, n_shot=2, n_target=3, n_memories=3).at(1)
    assert episode.mask is not None
    assert episode.mask.shape == (18, 12)
    group_of_target, group_of_slot = episode.target_labels // 2, episode.memory_labels // 2
    assert torch.equal(episode.mask, group_of_target[:, None] == group_of_slot)
    assert torch.equal(UNEVEN.labels[episode.target_index][::3], UNEVEN.labels[episode.memory_index][::2])
    assert _sampler(n_way=6).at(1).mask is None
    with pytest.raises(ValueError, match="cannot be shared out"):
        _sampler(n_way=4, n_memories=3)


def test_minibatches_without_a_memory() -> None:
    sampler = MinibatchSampler(UNEVEN, n_target=12, seed=0)
    episode = sampler.at(2)
    assert episode.targets.shape == (12, 1, 8, 8)
    assert episode.memory.shape == (0, 1, 8, 8)
    assert _equal(episode, MinibatchSampler(UNEVEN, n_target=12, seed=0).at(2))
    assert not torch.equal(episode.targets, sampler.at(3).targets)
    assert torch.equal(episode.targets[:, 0], UNEVEN.images[episode.target_index].float())
    assert torch.equal(episode.target_labels, UNEVEN.labels[episode.target_index])


def test_minibatches_come_from_all_drawings_alike() -> None:
    sampler = MinibatchSampler(synthetic.characters([5] * 4), n_target=20, seed=0)
    drawn = torch.cat([sampler.at(step).target_index for step in range(500)])
    assert float((drawn.bincount(minlength=20).float() - 500).abs().max()) < 4 * 500**0.5


def test_targets_of_recall_are_slots_bit_for_bit() -> None:
    grey = synthetic.characters(COUNTS, levels=16)
    sampler = RecallSampler(grey, n_slots=30, n_target=8, seed=0)
    episode = sampler.at(3)
    assert episode.memory.shape == (30, 1, 8, 8)
    assert len(episode.memory_index.unique()) == 30
    for target, label, index in zip(episode.targets, episode.target_labels, episode.target_index, strict=True):
        slot = int((episode.memory_index == index).nonzero())  # one, and only one
        assert torch.equal(target, episode.memory[slot])  # of grey levels the same pixels were drawn
        assert int(label) == int(episode.memory_labels[slot]) == int(grey.labels[index])
    assert len(episode.target_index.unique()) == 8
    assert _equal(episode, RecallSampler(grey, n_slots=30, n_target=8, seed=0).at(3))
    assert set(episode.memory_index.tolist()) != set(sampler.at(4).memory_index.tolist())


def test_every_slot_is_recalled_alike() -> None:
    sampler = RecallSampler(UNEVEN, n_slots=10, n_target=2, seed=0)
    counts = torch.zeros(10)
    for step in range(1_000):
        episode = sampler.at(step)
        counts += (episode.memory_index[:, None] == episode.target_index).any(1)
    assert float((counts - 200).abs().max()) < 4 * 200**0.5


@pytest.mark.parametrize(("slots", "targets"), [(56, 4), (4, 5)])
def test_a_recall_that_is_too_large(slots: int, targets: int) -> None:
    with pytest.raises(
        VmaError, match=f"{slots} slots and {targets} targets among them asked for, but the split holds 55"
    ):
        RecallSampler(UNEVEN, n_slots=slots, n_target=targets, seed=0)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_way": 7}, "7 classes asked for, but the split holds 6"),
        ({"n_way": 0}, "0 classes asked for"),
        ({"n_shot": 3}, "3 in memory and 3 targets of each class asked for, but a class of this split has 5"),
        ({"n_target": 4}, "2 in memory and 4 targets"),
    ],
)
def test_more_than_there_is(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        _sampler(**sizes)


def test_what_to_do_where_there_are_fewer_classes() -> None:
    """Drawings without labels are all of one class: what trains on them is named."""
    with pytest.raises(VmaError, match=r"2 classes asked for, but the split holds 1: .* --set episode\.memory=none$"):
        _sampler(synthetic.characters([20]), n_way=2)
    with pytest.raises(VmaError, match=r"3 classes asked for, but the split holds 2: ask for 1 to 2$"):
        _sampler(synthetic.characters([20, 20]), n_way=3)
    with pytest.raises(VmaError, match=r"1 classes asked for, but the split holds 0: choose another split$"):
        _sampler(synthetic.characters([20]).select([]), n_way=1)


def test_an_episode_is_made_on_the_device_asked_for() -> None:
    """Shown by the device that holds no numbers, which every machine has."""
    config = synthetic.config(episode={"turned": 0.5})
    episode = training_sampler(config, synthetic.dataset().train, "meta").at(0)
    for tensor in (episode.targets, episode.memory, episode.target_labels, episode.memory_labels):
        assert tensor.device == torch.device("meta")


def test_an_empty_split() -> None:
    with pytest.raises(VmaError, match="the split holds 0"):
        _sampler(UNEVEN.select([]))


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(VmaError, match="the split holds no drawings"):
        MinibatchSampler(synthetic.characters([3, 3]).select([]), n_target=2, seed=0)
