"""Reweighted wake-sleep, without its sleep phase."""

from __future__ import annotations

from dataclasses import replace

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses, log_weights
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, wake, wake_address

NEEDS_TWO = "the weight of a single sample is always 1"


class ReweightedWakeSleep:
    """K addresses from q(a|x); p follows Σ_k ω̄_k ∇log p(x, a, z), q(a|x) and q(z|x, m) follow Σ_k ω̄_k ∇log q.

    Bornschein & Bengio, *Reweighted wake-sleep* (2015). Objectives: the K-sample bound for the parameters of p, for
    those of q −KL(p(a, z|x) ‖ q(a, z|x)), with a bias of O(1/K) since the weights normalise themselves. (a, z) are
    constants: no gradient passes through z. What p and q share (h, and a learned memory) gets the sum of both
    gradients.

    pathwise: q(z|x, m) is reparameterised and follows the K-sample bound, as in VIMCO; q(a|x) alone has a wake phase.
    """

    def __init__(self, samples: int, pathwise: bool = False) -> None:
        self.samples, self.pathwise = samples, pathwise

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """a ~ q(a|x), [B, K]."""
        return replace(Addresses(addressing.draw(self.samples, generator)), pathwise=self.pathwise)

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The K-sample bound to report, the gradients of the wake phases [B]."""
        if self.pathwise:
            return wake_address(*log_weights(log_terms, addressing, drawn))
        log_qa = addressing.log_q.gather(1, drawn.address)
        return wake(log_terms.log_px + log_terms.log_pz + addressing.log_p[drawn.address], log_terms.log_qz + log_qa)


def make(config: ObjectiveConfig) -> ReweightedWakeSleep:
    """As configured."""
    return ReweightedWakeSleep(config.samples)
