"""Generative models with a memory, one a file, and those they are compared with."""

from __future__ import annotations

from vmacore.config import ModelConfig
from vmacore.models.base import GenerativeModel
from vmacore.shelf import MODELS

__all__ = ["GenerativeModel", "create_model"]


def create_model(config: ModelConfig) -> GenerativeModel:
    """A model of the kind that the configuration names, with fresh weights from torch's global generator."""
    kind: type[GenerativeModel] = MODELS[config.system].MODEL
    return kind(config)
