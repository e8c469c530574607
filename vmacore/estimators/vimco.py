"""VIMCO, the paper's estimator."""

from __future__ import annotations

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses, log_weights
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, vimco

NEEDS_TWO = "VIMCO's baseline leaves one sample out"


class Vimco:
    """K addresses from q(a|x), the K-sample bound, what the other samples say as baseline. Unbiased.

    Mnih & Rezende, *Variational inference for Monte Carlo objectives* (2016); equations 7 to 10 of the paper, which
    takes the arithmetic mean of the other weights. `geometric` is the form that Mnih & Rezende recommend.
    """

    def __init__(self, samples: int, geometric: bool = False) -> None:
        self.samples, self.geometric = samples, geometric

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """a ~ q(a|x), [B, K]."""
        return Addresses(addressing.draw(self.samples, generator))

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The K-sample bound and its gradient [B]."""
        return vimco(*log_weights(log_terms, addressing, drawn), geometric=self.geometric)


def make(config: ObjectiveConfig) -> Vimco:
    """As configured."""
    return Vimco(config.samples)
