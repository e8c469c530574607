"""Straight-through Gumbel-softmax: one slot forwards, a mixture backwards."""

from __future__ import annotations

from vmacore.config import ObjectiveConfig
from vmacore.estimators.gumbel import Gumbel

SETTINGS = ("temperature",)  # the keys of the configuration that it reads


def make(config: ObjectiveConfig) -> Gumbel:
    """As configured."""
    return Gumbel(config.samples, config.temperature, straight_through=True)
