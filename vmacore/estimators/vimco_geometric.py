"""VIMCO with the geometric mean of the other weights as its baseline (Mnih & Rezende 2016)."""

from __future__ import annotations

from vmacore.config import ObjectiveConfig
from vmacore.estimators.vimco import NEEDS_TWO, Vimco

__all__ = ["NEEDS_TWO", "make"]


def make(config: ObjectiveConfig) -> Vimco:
    """As configured."""
    return Vimco(config.samples, geometric=True)
