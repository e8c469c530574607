"""Gradient estimators: each owns how addresses are drawn and the objective made of the draws."""

from __future__ import annotations

from collections.abc import Callable

from vmacore.config import EstimatorName, ObjectiveConfig
from vmacore.estimators.base import Addresses, Estimator
from vmacore.estimators.enumeration import Enumeration
from vmacore.estimators.gumbel import Gumbel
from vmacore.estimators.importance import Importance
from vmacore.estimators.nvil import Nvil
from vmacore.estimators.rloo import Rloo
from vmacore.estimators.rws import ReweightedWakeSleep
from vmacore.estimators.top_k import TopK
from vmacore.estimators.vimco import Vimco

__all__ = ["ESTIMATORS", "Addresses", "Estimator", "estimator_for"]

# By config.objective.estimator.
ESTIMATORS: dict[EstimatorName, Callable[[ObjectiveConfig], Estimator]] = {
    "vimco": lambda config: Vimco(config.samples),
    "vimco-geometric": lambda config: Vimco(config.samples, geometric=True),
    "nvil": lambda config: Nvil(config.samples),
    "rloo": lambda config: Rloo(config.samples),
    "rws": lambda config: ReweightedWakeSleep(config.samples),
    "rws-pathwise": lambda config: ReweightedWakeSleep(config.samples, pathwise=True),
    "gumbel": lambda config: Gumbel(config.samples, config.temperature),
    "st-gumbel": lambda config: Gumbel(config.samples, config.temperature, straight_through=True),
    "enumeration": lambda config: Enumeration(),
    "top-k": lambda config: TopK(config.samples),
}


def estimator_for(config: ObjectiveConfig, addressed: bool = True) -> Estimator:
    """The estimator that a configuration names, or the plain bound for a model that draws no address."""
    return ESTIMATORS[config.estimator](config) if addressed else Importance(config.samples)
