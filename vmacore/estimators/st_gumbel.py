"""Straight-through Gumbel-softmax: one slot forwards, a mixture backwards."""

from __future__ import annotations

from vmacore.estimators.gumbel import Gumbel, Options

__all__ = ["Options", "make"]


def make(config: Options) -> Gumbel:
    """As configured."""
    return Gumbel(config.samples, config.temperature, straight_through=True)
