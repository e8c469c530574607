"""Generative models with a memory, one a file, and those they are compared with."""

from __future__ import annotations

from vmacore.config import ModelConfig
from vmacore.models.base import GenerativeModel
from vmacore.models.matching import GenerativeMatchingNetwork
from vmacore.models.soft_attention import SoftAttention
from vmacore.models.vae import VariationalAutoencoder
from vmacore.models.vma import VariationalMemoryAddressing

__all__ = ["SYSTEMS", "GenerativeModel", "create_model"]

# By config.model.system.
SYSTEMS: dict[str, type[GenerativeModel]] = {
    "vma": VariationalMemoryAddressing,
    "vae": VariationalAutoencoder,
    "soft-attention": SoftAttention,
    "matching": GenerativeMatchingNetwork,
}


def create_model(config: ModelConfig) -> GenerativeModel:
    """A model of the system that the configuration names, with fresh weights from torch's global generator."""
    return SYSTEMS[config.system](config)
