"""VIMCO, the paper's estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.models.draws import Draws
from vmacore.objectives import Objective, vimco


class Vimco:
    """K addresses from q(a|x), the K-sample bound, a leave-one-out arithmetic mean as baseline.

    Mnih & Rezende, *Variational inference for Monte Carlo objectives* (2016); equations 7 to 10 of the paper.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Tensor:
        """a ~ q(a|x), int64 [B, K]."""
        return addressing.draw(self.samples, generator)

    def objective(self, draws: Draws, addressing: Addressing, address: Tensor) -> Objective:
        """Bound and surrogate [B]."""
        log_qa = addressing.log_q.gather(1, address)  # [B, K]
        log_w = draws.log_weight + addressing.log_p[address] - log_qa.detach()
        return vimco(log_w, log_qa)
