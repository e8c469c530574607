"""The plain bound, for models that draw no address."""

from __future__ import annotations

import torch

from vmacore.addressing import Addressing
from vmacore.estimators.base import Drawn
from vmacore.models.terms import Draws
from vmacore.objectives import Objective, importance_bound


class Importance:
    """The K-sample bound of z ~ q(z|x) alone, which is reparameterised: the bound's own gradient, unbiased.

    Burda, Grosse & Salakhutdinov, *Importance weighted autoencoders* (2016); for K = 1 the ELBO.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Drawn:
        """The one alternative, K times."""
        log_q = addressing.log_q
        return Drawn(torch.zeros(len(log_q), self.samples, dtype=torch.int64, device=log_q.device))

    def objective(self, draws: Draws, addressing: Addressing, drawn: Drawn) -> Objective:
        """The K-sample bound [B], which is its own surrogate."""
        bound = importance_bound(draws.log_weight)
        return Objective(bound=bound, surrogate=bound)
