"""What the step benchmark counts and times."""

import pytest

from vmacore.bench import training_step_times
from vmacore.config import Config, DataConfig, EpisodeConfig, ModelConfig


def test_a_step_is_timed_beside_the_reference_and_its_floor() -> None:
    config = Config(
        data=DataConfig(dataset="glyphs"),
        episode=EpisodeConfig(classes=2, targets=2, shots=2),
        model=ModelConfig(size=(8, 8), channels=(4, 4, 4, 4, 4, 4), hidden=8, latent=3, embedding=5),
    )
    times = training_step_times(config, rounds=2)
    assert list(times.seconds) == ["vma", "reference, channels_last", "reference, contiguous"]
    assert min(times.seconds.values()) > 0
    assert times.floor == pytest.approx(times.flops / times.rate)


def test_operations_of_a_step_grow_with_the_targets() -> None:
    model = ModelConfig(size=(8, 8), channels=(4, 4, 4, 4, 4, 4), hidden=8, latent=3, embedding=5)
    counts = []
    for targets in (1, 8):
        episode = EpisodeConfig(classes=2, targets=targets, shots=2)
        config = Config(data=DataConfig(dataset="glyphs"), episode=episode, model=model)
        counts.append(training_step_times(config, rounds=1).flops)
    # Most of a step runs for every target or sample; what runs once a slot does not grow.
    assert 2 * counts[0] < counts[1] < 8 * counts[0]
