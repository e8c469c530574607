"""What every model ends in: the terms of the log weight for each sample."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Draws:
    """Terms for K samples (a, z) of each of B targets, each [B, K], in nats.

    log_px: log p(x|z, m_a).
    log_pz: log p(z|m_a).
    log_qz: log q(z|x, m_a).
    kl_z: KL(q(z|x, m_a) ‖ p(z|m_a)), in closed form.
    """

    log_px: Tensor
    log_pz: Tensor
    log_qz: Tensor
    kl_z: Tensor

    @property
    def log_weight(self) -> Tensor:
        """log p(x, z|a) − log q(z|x, a) [B, K]: log w without its address terms."""
        return self.log_px + self.log_pz - self.log_qz
