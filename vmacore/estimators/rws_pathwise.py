"""Reweighted wake-sleep for the addresses alone; q(z|x, m) is reparameterised."""

from __future__ import annotations

from vmacore.config import ObjectiveConfig
from vmacore.estimators.rws import NEEDS_TWO, ReweightedWakeSleep

__all__ = ["NEEDS_TWO", "make"]


def make(config: ObjectiveConfig) -> ReweightedWakeSleep:
    """As configured."""
    return ReweightedWakeSleep(config.samples, pathwise=True)
