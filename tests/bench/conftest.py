"""A small network of the paper's shape."""

import pytest

from vmacore.config import Config, DataConfig, EpisodeConfig, ModelConfig


@pytest.fixture
def config() -> Config:
    """Odd and even maps: 10 → 5 → 3 → 2."""
    return Config(
        data=DataConfig(dataset="glyphs"),
        episode=EpisodeConfig(classes=2, targets=2, shots=2),
        model=ModelConfig(size=(10, 12), channels=(4, 5, 6, 7, 8, 9), hidden=8, latent=3, embedding=5),
    )
