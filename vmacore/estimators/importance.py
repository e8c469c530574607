"""The plain bound, for models that draw no address."""

from __future__ import annotations

import torch

from vmacore.addressing import Addressing
from vmacore.estimators.base import Addresses
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, importance_bound


class Importance:
    """The K-sample bound of z ~ q(z|x) alone, which is reparameterised: the bound's own gradient, unbiased.

    Burda, Grosse & Salakhutdinov, *Importance weighted autoencoders* (2016); for K = 1 the ELBO.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """The one alternative, K times."""
        log_q = addressing.log_q
        return Addresses(torch.zeros(len(log_q), self.samples, dtype=torch.int64, device=log_q.device))

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The K-sample bound [B], which is its own surrogate."""
        bound = importance_bound(log_terms.log_weight)
        return Objective(bound=bound, surrogate=bound)
