"""The likeliest slots enumerated, the others sampled."""

from __future__ import annotations

import math

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses, log_weights
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, stratified

NEEDS_TWO = "one of them is drawn from the tail"


class TopK:
    """The ELBO from the K − 1 likeliest slots of q(a|x) and one draw of the others, by their probability. Unbiased.

    Liu, Regier, Tripuraneni, Jordan & McAuliffe, *Rao-Blackwellized stochastic gradients for discrete distributions*
    (2019). Its noise is that of the tail, so it vanishes as q(a|x) gathers on few slots. With no more than K slots all
    are enumerated.
    """

    def __init__(self, samples: int) -> None:
        if samples < 2:
            raise ValueError("top-k needs at least 2 samples: one of them is drawn from the tail")
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """The likeliest slots in order, then the draw, [B, K]."""
        log_q = addressing.log_q.detach()
        if log_q.shape[1] <= self.samples:
            top = log_q.argsort(1, descending=True)
            return Addresses(top, log_q.gather(1, top).exp())
        top = log_q.topk(self.samples - 1).indices
        tail = log_q.scatter(1, top, -math.inf)
        drawn = Addressing(tail, addressing.log_p).draw(1, generator)
        address = torch.cat([top, drawn], 1)
        return Addresses(address, torch.cat([log_q.gather(1, top), tail.logsumexp(1, keepdim=True)], 1).exp())

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """An unbiased estimate of the ELBO and its gradient [B]."""
        assert drawn.share is not None
        enumerated = self.samples - 1 if addressing.log_q.shape[1] > self.samples else drawn.share.shape[1]
        return stratified(*log_weights(log_terms, addressing, drawn), drawn.share, enumerated)


def make(config: ObjectiveConfig) -> TopK:
    """As configured."""
    return TopK(config.samples)
