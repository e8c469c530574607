"""Families of networks, one a file; what stands in this folder can be chosen by `model.network`."""

from __future__ import annotations

import importlib

from vmacore.config import ModelConfig
from vmacore.networks.base import Decoder, Networks, Recognition, Template

__all__ = ["Decoder", "Networks", "Recognition", "Template", "networks_for"]


def networks_for(config: ModelConfig) -> Networks:
    """The family that a configuration names."""
    module = importlib.import_module(f"{__name__}.{config.network.replace('-', '_')}")
    family: type[Networks] = module.Family
    return family(config)
