"""Differences on the same targets, and memories of growing size."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from tests import synthetic
from vmacore.errors import VmaError
from vmacore.evaluation.errors import clustered_se, target_classes
from vmacore.evaluation.likelihood import Score, score_episodes
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.nested import Asked, Memory, NestedSampler, measure
from vmacore.experiments.lab.paired import class_se, differences, episode_se
from vmacore.experiments.lab.plans import Plan, Trained
from vmacore.experiments.lab.systems import mean_score
from vmacore.runs.weights import build_model

TEST = synthetic.characters([10] * 6, seed=2)


def nested(classes: int, shots: int = 2, total: int | None = None) -> NestedSampler:
    return NestedSampler(TEST, classes=classes, shots=shots, targets=3, seed=1, total=total)


def of(values: list[list[float]]) -> Score:
    """A score of these NLLs."""
    table = torch.tensor(values, dtype=torch.float64)
    per_episode = tuple(table.mean(1).tolist())
    return Score(
        nll=float(table.mean()),
        nll_se=0,
        reconstruction=0,
        kl_address=0,
        kl_latent=0,
        prior_entropy=0,
        posterior_entropy=0,
        targets=table.numel(),
        slots=1,
        episodes=len(values),
        per_episode=per_episode,
        per_target=tuple(map(tuple, values)),
    )


def test_clusters_of_one_give_the_ordinary_error() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 7.0], dtype=torch.float64)
    assert clustered_se(values, [0, 1, 2, 3]) == pytest.approx(float(values.std()) / 2)


def test_equal_values_in_a_cluster_count_once() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 7.0], dtype=torch.float64)
    assert clustered_se(values.repeat_interleave(5), [c for c in range(4) for _ in range(5)]) == pytest.approx(
        float(values.std()) / 2
    )


def test_clustered_error_of_unequal_clusters_is_that_of_simulation() -> None:
    draw = torch.Generator().manual_seed(0)
    sizes = torch.tensor([1, 2, 3, 4, 6] * 8)
    labels = torch.arange(len(sizes)).repeat_interleave(sizes)
    means, errors = [], []
    for _ in range(400):
        values = torch.randn(len(sizes), generator=draw).double()[labels]
        values = values + 0.5 * torch.randn(len(labels), generator=draw)
        means.append(float(values.mean()))
        errors.append(clustered_se(values, labels.tolist()))
    assert sum(errors) / 400 == pytest.approx(float(torch.tensor(means).std()), rel=0.1)


def test_one_cluster_has_no_error() -> None:
    assert math.isnan(clustered_se(torch.tensor([1.0, 2.0]), [3, 3]))


def test_paired_differences() -> None:
    one, other = of([[3.0, 5.0], [10.0, 12.0]]), of([[1.0, 2.0], [9.0, 12.0]])
    assert differences(one, other).tolist() == [2, 3, 1, 0]
    assert episode_se(one, other) == pytest.approx(2.0 / 2)  # 2.5 and 0.5, of which the deviation is √2
    assert class_se(one, [0, 0, 1, 1]) == pytest.approx(7.0 / 2)


def test_mean_over_seeds() -> None:
    mean = mean_score([of([[3.0, 5.0], [10.0, 12.0]]), of([[1.0, 3.0], [8.0, 8.0]])])
    assert mean.per_target == ((2.0, 4.0), (9.0, 10.0))
    assert mean.per_episode == (3.0, 9.5)
    assert mean.nll == pytest.approx(6.25)
    assert mean.nll_se == pytest.approx(6.5 / 2)
    alone = of([[1.0, 2.0], [3.0, 4.0]])
    assert mean_score([alone]) is alone


def test_memories_are_nested_and_targets_the_same() -> None:
    small, large = nested(2), nested(6)
    for turn in range(2):
        whole = large.at(turn)
        blocks = [small.at(small.blocks * turn + block) for block in range(small.blocks)]
        assert torch.cat([episode.target_index for episode in blocks]).equal(whole.target_index)
        assert torch.cat([episode.memory_index for episode in blocks]).equal(whole.memory_index)
        for episode in blocks:
            assert episode.targets.shape == (6, 1, 8, 8)
            own = TEST.labels[episode.memory_index].unique()
            assert own.equal(TEST.labels[episode.target_index].unique())
            assert episode.memory_labels.tolist() == [0, 0, 1, 1]
            assert episode.target_labels.tolist() == [0, 0, 0, 1, 1, 1]
            assert not set(episode.memory_index.tolist()) & set(episode.target_index.tolist())
            assert episode.targets[:, 0].equal(TEST.images[episode.target_index].float())
    assert not large.at(0).target_index.equal(large.at(1).target_index)


def test_more_shots_keep_those_of_fewer_and_the_targets() -> None:
    few, many = nested(3, shots=2).at(1), nested(3, shots=7).at(1)
    assert many.target_index.equal(few.target_index)
    assert many.memory_index.view(3, 7)[:, :2].equal(few.memory_index.view(3, 2))


def test_a_part_of_the_classes() -> None:
    sampler = nested(2, total=4)
    assert sampler.blocks == 2
    asked = torch.cat([TEST.labels[sampler.at(step).target_index] for step in range(2)])
    assert len(asked.unique()) == 4


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(VmaError, match="holds 6"):
        nested(7, total=7)
    with pytest.raises(VmaError, match="8 \\+ 3 drawings"):
        nested(2, shots=8)
    with pytest.raises(ValueError, match="blocks of 4"):
        nested(4)


def test_measured_memories(lab: Lab, make_lab: Callable[..., Lab]) -> None:
    model = build_model(synthetic.config())
    plan = Plan("digits")
    found = {"ours": [Trained(plan, model, None, 1, "")], "none": [Trained(plan, None, None, 1, "")]}
    memories = [Memory("ours", 2, 2), Memory("ours", 6, 4), Memory("none", 2, 2)]
    assert memories[1].slots == 24
    asked = Asked(6, 3, 2, 3, seed=1)

    def measured(where: Lab) -> dict[Memory, Score]:
        return measure(where, found, memories, TEST, asked)

    scores = measured(lab)
    assert list(scores) == memories[:2]
    assert [one.targets for one in scores.values()] == [54, 54]
    sampler = nested(2)
    alone = score_episodes(model, sampler, samples=2, episodes=9, seed=1)
    assert scores[memories[0]].per_target == alone.per_target
    # Targets stand in the same order whatever the memory.
    assert asked.labels(TEST, scores) == target_classes(sampler, TEST, 9)
    assert measured(make_lab(budget=0.0)) == {}
    assert asked.labels(TEST, {}) == []
