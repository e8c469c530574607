"""An estimator: some addresses are drawn from all slots alike, the others from q(a|x), corrected by their weights."""

from __future__ import annotations

import torch
from pydantic import Field

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, importance_bound


class Options(ObjectiveConfig):
    """The key that it reads."""

    blind: float = Field(1.0, gt=0, le=1)  # probability that an address is drawn from all slots alike


class Uniform:
    """The K-sample bound with r(a) = blind/S + (1 − blind) q(a|x) for q(a|x), which itself has no gradient."""

    def __init__(self, samples: int, blind: float) -> None:
        self.samples, self.blind = samples, blind

    def proposal(self, addressing: Addressing) -> torch.Tensor:
        q = addressing.log_q.detach().exp()
        return self.blind / q.shape[1] + (1 - self.blind) * q

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        r = self.proposal(addressing)
        return Addresses(r.multinomial(self.samples, replacement=True, generator=generator))

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        log_r = self.proposal(addressing).log().gather(1, drawn.address)
        bound = importance_bound(log_terms.log_weight + addressing.log_p[drawn.address] - log_r)
        return Objective(bound=bound, surrogate=bound)


def make(config: Options) -> Uniform:
    return Uniform(config.samples, config.blind)
