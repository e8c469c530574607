"""All slots, none drawn."""

from __future__ import annotations

import torch

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses, log_weights
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, stratified


class Enumeration:
    """The ELBO Σ_a q(a|x) E_z log w(a, z), summed over every slot with one z each: only z adds noise. Unbiased.

    The sum that score functions estimate; Liu et al., *Rao-Blackwellized stochastic gradients for discrete
    distributions* (2019), with nothing left to sample. Decodes B · S samples, so it is for memories of few slots.
    """

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """Every slot, [B, S]."""
        B, S = addressing.log_q.shape
        return Addresses(torch.arange(S, device=addressing.log_q.device).expand(B, S), addressing.log_q.detach().exp())

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The ELBO and its gradient [B]."""
        assert drawn.share is not None
        return stratified(*log_weights(log_terms, addressing, drawn), drawn.share, enumerated=drawn.share.shape[1])


def make(config: ObjectiveConfig) -> Enumeration:
    """As configured."""
    return Enumeration()
