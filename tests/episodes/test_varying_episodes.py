"""Memories that vary from step to step; and that nothing varies where nothing is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import synthetic
from vmacore.config import Config
from vmacore.episodes import training_sampler, validation_sampler
from vmacore.episodes.base import Episode, shuffled_drawings
from vmacore.episodes.few_shot import EpisodeSampler, log_uniform
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator

MADE = synthetic.characters([12, 9, 20, 10, 9, 15, 11, 9, 9, 10])
EVERYTHING: Mapping[str, Any] = {
    "shots_between": (1, 3),
    "turned": 0.5,
    "warped": 0.5,
}


def _sampler(shots: tuple[int, int] | None = (1, 4), *, n_way: int = 4, seed: int = 0) -> EpisodeSampler:
    return EpisodeSampler(MADE, n_way=n_way, n_shot=2, n_target=3, seed=seed, shots=shots)


def _same(one: Episode, two: Episode) -> bool:
    pairs = [(getattr(one, name), getattr(two, name)) for name in vars(one) if name != "mask"]
    return one.mask is two.mask and all(torch.equal(*pair) for pair in pairs)


def test_by_default_an_episode_is_drawn_as_ever() -> None:
    """The indices of the first few-shot sampler, spelled out."""
    sampler = _sampler(None)
    for step in range(30):
        draw = generator(0, step, Stream.EPISODE)
        classes = torch.randperm(10, generator=draw)[:4]
        drawings = shuffled_drawings(MADE, classes, draw)[:, :5]
        episode = sampler.at(step)
        assert torch.equal(episode.memory_index, drawings[:, :2].flatten())
        assert torch.equal(episode.target_index, drawings[:, 2:].flatten())
        assert episode.memory_labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert episode.target_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_indices_that_runs_have_seen() -> None:
    """Drawn before episodes could vary."""
    episode = _sampler(None).at(7)
    assert episode.memory_index.tolist() == [71, 70, 100, 95, 82, 77, 107, 110]
    assert episode.target_index.tolist() == [61, 66, 64, 103, 101, 102, 75, 80, 81, 105, 113, 111]


@pytest.mark.parametrize("step", range(60))
def test_a_varying_episode(step: int) -> None:
    episode = _sampler().at(step)
    n_way, n_shot = 4, len(episode.memory) // 4
    assert 1 <= n_shot <= 4
    assert episode.memory_labels.tolist() == [label for label in range(n_way) for _ in range(n_shot)]
    assert len(episode.targets) == 12
    assert episode.target_labels.bincount(minlength=n_way).tolist() == [3] * 4

    # Disjoint, and a label is one class in memory and as a target.
    drawings = torch.cat([episode.memory_index, episode.target_index])
    assert len(drawings.unique()) == len(drawings)
    pairs = {*zip(torch.cat([episode.memory_labels, episode.target_labels]).tolist(), _classes(drawings), strict=True)}
    assert len(pairs) == len({label for label, _ in pairs}) == len({own for _, own in pairs}) == n_way
    assert torch.equal(episode.targets[:, 0], MADE.images[episode.target_index].float())


def _classes(index: Tensor) -> list[int]:
    return MADE.labels[index].tolist()


def test_the_same_whatever_came_before() -> None:
    used = _sampler()
    for step in (3, 17, 0):
        used.at(step)
    assert _same(used.at(17), _sampler().at(17))
    assert len({tuple(_sampler(seed=seed).at(17).memory_index.tolist()) for seed in range(5)}) == 5


def test_how_many_slots_there_are_is_a_function_of_seed_and_step() -> None:
    first, again, other = ([len(_sampler(seed=seed).at(step).memory) for step in range(40)] for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first[:12] == [4, 8, 8, 8, 4, 16, 8, 12, 16, 4, 8, 4]  # what runs have seen


def test_sizes_are_log_uniform() -> None:
    sampler = _sampler((1, 6), n_way=2)
    counts = torch.zeros(7)
    for step in range(2_000):
        counts[len(sampler.at(step).memory) // 2] += 1
    expected = torch.tensor([2_000 * math.log((n + 1) / n) / math.log(7) for n in range(1, 7)])
    assert float(((counts[1:] - expected) / expected.sqrt()).abs().max()) < 4
    assert float(counts.sum()) == 2_000


def test_slots_of_a_class_take_the_room_that_targets_leave() -> None:
    sampler = _sampler((1, 20))  # 3 targets of each class leave 6 of its 9 drawings
    assert {len(sampler.at(step).memory) // 4 for step in range(200)} == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 3), (1, 8), (2, 500)])
def test_log_uniform_stays_within(low: int, high: int) -> None:
    assert log_uniform(low, high, 0.0) == low
    assert log_uniform(low, high, 1 - 2**-53) == high


def test_log_uniform_is_geometric() -> None:
    """⌊low ((high + 1) / low)^u⌋: half way between 2 and 8, the first number past 7, lies 4."""
    assert [log_uniform(2, 7, u) for u in (0.49, 0.5, 0.51)] == [3, 4, 4]


@pytest.mark.parametrize(
    ("n_way", "shots", "message"),
    [
        (11, None, "11 classes asked for, but the split holds 10"),
        (4, (7, 8), "7 in memory and 3 targets of each class asked for, but a class .* has 9"),
    ],
)
def test_extremes_that_do_not_fit(n_way: int, shots: tuple[int, int] | None, message: str) -> None:
    with pytest.raises(VmaError, match=message):
        _sampler(shots, n_way=n_way)


def test_a_run_trains_on_what_it_asks_for_and_validates_on_plain_episodes() -> None:
    plain = synthetic.config()
    config = synthetic.config(episode={**EVERYTHING})
    trained = [training_sampler(config, MADE, "cpu").at(step) for step in range(20)]
    assert {len(episode.targets) for episode in trained} == {8}
    assert {len(episode.memory) for episode in trained} == {4, 8, 12}
    changed = [not torch.equal(episode.memory[:, 0], MADE.images[episode.memory_index].float()) for episode in trained]
    assert any(changed)
    for step in range(20):
        one, two = (validation_sampler(c, MADE, "cpu").at(step) for c in (config, plain))
        assert _same(one, two)
        assert torch.equal(one.memory[:, 0], MADE.images[one.memory_index].float())


def test_what_is_asked_for_goes_through_toml() -> None:
    config = synthetic.config(episode={**EVERYTHING})
    assert Config.from_toml(config.to_toml()) == config
    assert config.episode.varies
    assert not config.episode.plain.varies
    assert config.episode.plain == synthetic.config().episode
    assert config.with_overrides(["episode.shots_between=none"]).episode.shots_between is None
    assert config.with_overrides(["episode.shots_between=[2, 3]"]).episode.shots_between == (2, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["episode.shots_between=[0, 2]"], "shots_between needs a smallest number"),
        (["episode.shots_between=[2, 4]", "episode.memories=2"], "set memories to 1"),
        (
            ["episode.memory=recall", "episode.turned=0.5"],
            "turned is of memory few-shot: choose that",
        ),
        (["model.learned_slots=16", "episode.warped=0.5"], "a learned memory has no episodes by class"),
        (["episode.turned=1.1"], "turned"),
    ],
)
def test_what_is_refused(settings: list[str], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        synthetic.config().with_overrides(settings)


def test_the_configuration_reaches_the_sampler() -> None:
    """Several memories, and drawings jittered one by one: what the factory of few-shot episodes passes on."""
    several = synthetic.config(model={"system": "matching"}, episode={"classes": 4, "memories": 2})
    assert training_sampler(several, MADE, "cpu").at(0).mask is not None
    plain, jittered = (
        training_sampler(synthetic.config(episode={"jittered": strength}), MADE, "cpu").at(3) for strength in (0.0, 1.0)
    )
    assert torch.equal(plain.memory_index, jittered.memory_index)
    assert not torch.equal(plain.memory, jittered.memory)
    assert {0.0, 1.0} == set(jittered.memory.unique().tolist())  # binary drawings stay binary
