"""Gradient estimators: each owns how addresses are drawn and the objective made of the draws."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.config import ObjectiveConfig
from vmacore.estimators.vimco import Vimco
from vmacore.models.draws import Draws
from vmacore.objectives import Objective


class Estimator(Protocol):
    """How addresses are drawn, and what is differentiated."""

    def draw(self, addressing: Addressing, generator: torch.Generator | None = None) -> Tensor:
        """Addresses int64 [B, K]."""

    def objective(self, draws: Draws, addressing: Addressing, address: Tensor) -> Objective:
        """Bound and surrogate [B] of the draws made at those addresses."""


def estimator_for(config: ObjectiveConfig) -> Estimator:
    """The estimator that a configuration names."""
    return {"vimco": Vimco}[config.estimator](config.samples)
