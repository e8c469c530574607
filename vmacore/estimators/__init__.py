"""Gradient estimators, one a file: each owns how addresses are drawn and the objective made of the draws."""

from __future__ import annotations

from vmacore.config import ObjectiveConfig
from vmacore.estimators.base import Addresses, Estimator
from vmacore.estimators.importance import Importance
from vmacore.shelf import ESTIMATORS

__all__ = ["ESTIMATORS", "Addresses", "Estimator", "estimator_for"]


def estimator_for(config: ObjectiveConfig, addressed: bool = True) -> Estimator:
    """The estimator that a configuration names, or the plain bound for a model that draws no address."""
    if not addressed:
        return Importance(config.samples)
    estimator: Estimator = ESTIMATORS[config.estimator].make(config)
    return estimator
