"""REINFORCE whose baseline leaves a sample out."""

from __future__ import annotations

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses, log_weights
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, rloo

NEEDS_TWO = "RLOO's baseline leaves one sample out"


class Rloo:
    """K addresses from q(a|x), the ELBO, the mean log w of the other K − 1 samples as baseline. Unbiased for the ELBO.

    Kool, van Hoof & Welling, *Buy 4 REINFORCE samples, get a baseline for free!* (2019). The objective is the mean of
    log w over the samples where VIMCO's is the log of the mean w; z is reparameterised.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """a ~ q(a|x), [B, K]."""
        return Addresses(addressing.draw(self.samples, generator))

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The K-sample bound to report, the gradient of the ELBO [B]."""
        return rloo(*log_weights(log_terms, addressing, drawn))


def make(config: ObjectiveConfig) -> Rloo:
    """As configured."""
    return Rloo(config.samples)
