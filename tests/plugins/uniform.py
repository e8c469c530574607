"""An estimator: addresses drawn from all slots alike, corrected by their weights. Unbiased, and blind."""

from __future__ import annotations

import math

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, importance_bound


class Uniform:
    """The K-sample bound with 1/S for q(a|x); q(a|x) itself has no gradient."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        B, S = addressing.log_q.shape
        return Addresses(torch.randint(S, (B, self.samples), generator=generator, device=addressing.log_q.device))

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        log_w = log_terms.log_weight + addressing.log_p[drawn.address] + math.log(addressing.log_q.shape[1])
        bound = importance_bound(log_w)
        return Objective(bound=bound, surrogate=bound)


def make(config: ObjectiveConfig) -> Uniform:
    return Uniform(config.samples)
