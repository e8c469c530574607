"""A model: x is a slot, each pixel flipped with one probability. q(a|x) is the exact posterior, and there is no z."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vmacore.addressing import Addressing
from vmacore.config import ModelConfig
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms


class Options(ModelConfig):
    """The key that it reads."""

    flipped: float = Field(0.25, gt=0, lt=0.5)  # ε at first


class Flips(GenerativeModel):
    """log p(x|m_a) = D log(1 − ε) − (pixels that differ) · logit(1 − ε), with ε learned and p(a) flat."""

    addressed = True
    config: Options

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.logit = nn.Parameter(-torch.tensor(self.config.flipped).logit())  # of a pixel that stays

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        self.check_slots(slots)
        flat = slots.new_full((len(slots),), 1.0).log_softmax(0)
        return EncodedMemory(slots, slots.flatten(1), flat)

    def log_likelihoods(self, targets: Tensor, memory: EncodedMemory) -> Tensor:
        """log p(x|m_a) [B, S]."""
        x, m = targets.flatten(1), memory.keys
        differ = x @ (1 - m).T + (1 - x) @ m.T
        return F.logsigmoid(self.logit) * x.shape[1] - differ * self.logit

    def address(self, targets: Tensor, memory: EncodedMemory) -> Addressing:
        return Addressing((self.log_likelihoods(targets, memory) + memory.log_prior).log_softmax(1), memory.log_prior)

    def log_terms(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
        pathwise: bool = True,
    ) -> LogTerms:
        log_px = self.log_likelihoods(targets, memory).gather(1, address)
        none = torch.zeros_like(log_px)
        return LogTerms(log_px, none, none, none[None])

    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self.logit * (2 * memory.keys[address] - 1)


MODEL = Flips
