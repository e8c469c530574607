"""Reweighted wake-sleep, without its sleep phase."""

from __future__ import annotations

from dataclasses import replace

import torch

from vmacore.addressing import Addressing
from vmacore.estimators.base import Drawn, log_weights
from vmacore.models.terms import Draws
from vmacore.objectives import Objective, wake, wake_address


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

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Drawn:
        """a ~ q(a|x), [B, K]."""
        return replace(Drawn(addressing.draw(self.samples, generator)), pathwise=self.pathwise)

    def objective(self, draws: Draws, addressing: Addressing, drawn: Drawn) -> Objective:
        """The K-sample bound to report, the gradients of the wake phases [B]."""
        if self.pathwise:
            return wake_address(*log_weights(draws, addressing, drawn))
        log_qa = addressing.log_q.gather(1, drawn.address)
        return wake(draws.log_px + draws.log_pz + addressing.log_p[drawn.address], draws.log_qz + log_qa)
