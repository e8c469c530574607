"""Gumbel-softmax: mixtures of slots in place of one slot."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses
from vmacore.models.terms import LogTerms
from vmacore.objectives import Objective, importance_bound
from vmacore.seeds import exponential


class Options(ObjectiveConfig):
    """The keys that it reads."""

    temperature: float = Field(0.5, gt=0)


class Gumbel:
    """K relaxed addresses y = softmax((log q(a|x) + Gumbel noise) / temperature); a sample reads m = Σ_a y_a m_a.

    Jang, Gu & Poole, *Categorical reparameterization with Gumbel-softmax* (2017); Maddison, Mnih & Teh, *The concrete
    distribution* (2017). The objective is the K-sample bound of relaxed weights, in which m stands for m_a and
    Σ_a y_a (log p(a) − log q(a|x)) for log p(a) − log q(a|x). Its pathwise gradient is exact; it becomes the K-sample
    bound as the temperature goes to 0, and is no bound on log p(x|M) before: biased.

    straight_through: the address is the largest of the perturbed logits, an exact draw of q(a|x), and the value the
    K-sample bound itself; backwards it is y. Biased, at any temperature.
    """

    def __init__(self, samples: int, temperature: float, straight_through: bool = False) -> None:
        self.samples, self.temperature, self.straight_through = samples, temperature, straight_through

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Addresses:
        """Relaxed addresses [B, K, S]."""
        log_q = addressing.log_q[:, None]
        B, S = addressing.log_q.shape
        gumbel = -exponential((B, self.samples, S), generator, log_q).log()
        y = ((log_q + gumbel) / self.temperature).softmax(2)
        if self.straight_through:
            hard = F.one_hot(y.argmax(2), S).to(y.dtype)
            y = hard + (y - y.detach())  # in this order, so that the value is `hard` to the last bit
        return Addresses(torch.arange(B * self.samples, device=y.device).view(B, self.samples), relaxed=y)

    def objective(self, log_terms: LogTerms, addressing: Addressing, drawn: Addresses) -> Objective:
        """The relaxed bound [B], which is its own surrogate."""
        assert drawn.relaxed is not None
        log_ratio = (addressing.log_p - addressing.log_q)[:, None]  # [B, 1, S]
        bound = importance_bound(log_terms.log_weight + (drawn.relaxed * log_ratio).sum(2))
        return Objective(bound=bound, surrogate=bound)


def make(config: Options) -> Gumbel:
    """As configured."""
    return Gumbel(config.samples, config.temperature)
