"""Differences of scores on the same targets, and their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.data.episodes import Sampler
from vmacore.evaluation.likelihood import Score


def target_classes(sampler: Sampler, characters: Characters, episodes: int) -> list[int]:
    """Class within the split of every target, in the order of `Score.per_target`."""
    return torch.cat([characters.labels[sampler.at(step).target_index] for step in range(episodes)]).tolist()


def differences(one: Score, other: Score) -> Tensor:
    """NLL of each target under one less that under the other [N], float64; the same targets in the same order."""
    return flat(one) - flat(other)


def flat(score: Score) -> Tensor:
    """NLL of each target [N], float64."""
    return torch.tensor([value for episode in score.per_target for value in episode], dtype=torch.float64)


def clustered_se(values: Tensor, clusters: Sequence[int]) -> float:
    """Standard error of the mean of values [N] where those of one cluster go together, as targets of a class do.

    The linearised error of a mean over clusters of unequal size: √(C/(C−1) Σ_c (Σ_{i∈c} (v_i − v̄))²) / N.
    """
    index = torch.tensor(clusters).unique(return_inverse=True)[1]
    count = int(index.max()) + 1
    if count < 2:
        return math.nan
    sums = torch.zeros(count, dtype=values.dtype).index_add_(0, index, values - values.mean())
    return float((sums.square().sum() * count / (count - 1)).sqrt()) / len(values)


def class_se(one: Score | Tensor, classes: Sequence[int]) -> float:
    """Standard error over classes of a mean NLL, or of a mean of values [N]; classes: of each target."""
    return clustered_se(flat(one) if isinstance(one, Score) else one, classes)


def episode_se(one: Score, other: Score) -> float:
    """Standard error over episodes of the paired difference of two scores on the same episodes."""
    difference = torch.tensor(one.per_episode, dtype=torch.float64) - torch.tensor(other.per_episode)
    return float(difference.std()) / math.sqrt(len(difference)) if len(difference) > 1 else math.nan
