"""What an estimator is: how addresses are drawn, and the objective made of the draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms
from vmacore.networks.layers import mixed
from vmacore.objectives import Objective


@dataclass(frozen=True, eq=False)
class Addresses:
    """Addresses of B targets, and what else the terms of log w at these addresses need.

    address: slots, int64 [B, K].
    share: [B, K], rows that sum to 1: E_q f(a) ≈ Σ_k share_k f(a_k), nats or whatever f is in. None: 1/K each.
    relaxed: weights y [B, K, S] over the slots, rows that sum to 1, with a gradient. With them every sample reads a
    slot of its own, Σ_a y_a m_a, and `address` numbers those.
    pathwise: whether z has a gradient, through its noise; if not, (a, z) are constants in the terms.
    """

    address: Tensor
    share: Tensor | None = None
    relaxed: Tensor | None = None
    pathwise: bool = True

    def terms(
        self,
        model: GenerativeModel,
        targets: Tensor,
        memory: EncodedMemory,
        generator: torch.Generator | None = None,
    ) -> LogTerms:
        """The model's `log_terms` [B, K] for targets [B, 1, H, W] at these addresses."""
        if self.relaxed is not None:
            memory = replace(memory, slots=mixed(memory.slots, self.relaxed.flatten(0, 1)))
        return model.log_terms(targets, memory, self.address, generator, pathwise=self.pathwise)

    def mean(self, term: Tensor) -> Tensor:
        """The expectation [B] under q(a|x) of a term [B, K]."""
        return term.mean(1) if self.share is None else (self.share * term).sum(1)


class Estimator(Protocol):
    """How addresses are drawn, and what is differentiated."""

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """Addresses [B, K]; K is the estimator's own."""

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """Bound and surrogate [B] of the draws made at those addresses."""


def log_weights(log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> tuple[Tensor, Tensor]:
    """log w [B, K] with log q(a|x) detached inside, and log q(a|x) [B, K] with its gradient; nats."""
    log_qa = addressing.log_q.gather(1, drawn.address)
    return log_terms.log_weight + addressing.log_p[drawn.address] - log_qa.detach(), log_qa
