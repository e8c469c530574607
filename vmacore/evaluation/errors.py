"""Standard errors where values go together, as the targets of a class do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.episodes.base import Sampler


def target_classes(sampler: Sampler, characters: Characters, episodes: int) -> list[int]:
    """Class within the split of every target, in the order of `Score.per_target`."""
    return torch.cat([characters.labels[sampler.at(step).target_index] for step in range(episodes)]).tolist()


def clustered_se(values: Tensor, clusters: Sequence[int] | Tensor, weights: Tensor | None = None) -> float:
    """Standard error of the mean of values [N] where those of one cluster go together, as targets of a class do.

    The linearised error of a mean over clusters of unequal size: √(C/(C−1) Σ_c (Σ_{i∈c} w_i (v_i − v̄))²) / Σ_i w_i,
    where v̄ = Σ_i w_i v_i / Σ_i w_i. weights: w [N], above 0; None: all alike. NaN for a single cluster.
    """
    index = torch.as_tensor(clusters).unique(return_inverse=True)[1]
    count = int(index.max()) + 1
    if count < 2:
        return math.nan
    weights = torch.ones_like(values) if weights is None else weights
    mean = (weights * values).sum() / weights.sum()
    sums = torch.zeros(count, dtype=values.dtype).index_add_(0, index, weights * (values - mean))
    return float((sums.square().sum() * count / (count - 1)).sqrt() / weights.sum())
