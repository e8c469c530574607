"""Differences of scores on the same targets, and their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vmacore.evaluation.errors import clustered_se
from vmacore.evaluation.likelihood import Score


def differences(one: Score, other: Score) -> Tensor:
    """NLL of each target under one less that under the other [N], float64; the same targets in the same order."""
    return flat(one) - flat(other)


def flat(score: Score) -> Tensor:
    """NLL of each target [N], float64."""
    return torch.tensor([value for episode in score.per_target for value in episode], dtype=torch.float64)


def class_se(one: Score | Tensor, classes: Sequence[int]) -> float:
    """Standard error over classes of a mean NLL, or of a mean of values [N]; classes: of each target."""
    return clustered_se(flat(one) if isinstance(one, Score) else one, classes)


def episode_se(one: Score, other: Score) -> float:
    """Standard error over episodes of the paired difference of two scores on the same episodes."""
    difference = torch.tensor(one.per_episode, dtype=torch.float64) - torch.tensor(other.per_episode)
    return float(difference.std()) / math.sqrt(len(difference)) if len(difference) > 1 else math.nan
