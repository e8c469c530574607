"""Whatever a configuration says, it is refused in one line, or a step is trained by it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import synthetic
from tests.small_runs import DATASET
from vmacore.config import Config, DataConfig
from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory
from vmacore.shelf import EPISODES, ESTIMATORS, MODELS, NETWORKS
from vmacore.training import loop
from vmacore.training.loop import prepare, train

SMALL = [
    "episode.classes=4", "episode.targets=2", "episode.shots=2", "episode.slots=9", "episode.sequences=2",
    "episode.length=3", "model.hidden=6", "model.latent=3", "model.embedding=5", "training.validation_episodes=2",
    "training.steps=1",
]  # fmt: skip
KINDS = {
    "model.system": MODELS,
    "model.network": NETWORKS,
    "episode.memory": EPISODES,
    "objective.estimator": ESTIMATORS,
}
SIZES = st.lists(st.integers(0, 5), max_size=7).map(str)
VALUES = {
    "model.channels": SIZES, "model.layers": SIZES, "model.stages": SIZES, "model.blocks": SIZES,
    "model.latent_maps": SIZES, "model.latent_layers": SIZES, "model.latent": st.integers(0, 3),
    "model.embedding": st.integers(0, 3),
    "model.hidden": st.integers(0, 3), "model.learned_slots": st.integers(0, 3), "model.slot": st.integers(0, 3),
    "model.tied": st.booleans(), "model.posterior_hidden": st.integers(0, 3), "model.hops": st.integers(0, 2),
    "episode.memories": st.integers(0, 5), "episode.classes": st.integers(0, 13), "episode.shots": st.integers(0, 10),
    "objective.samples": st.integers(0, 3), "optimiser.beta2": st.just(0),
    "objective.trains": st.sampled_from(("all", "addresses")), "labels.weight": st.sampled_from((0, 1)),
    "labels.of": st.sampled_from(("classes", "drawings")),
}  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> list[str]:
    """Kinds and some settings of theirs, as `--set` takes them."""
    kinds = [f"{key}={draw(st.sampled_from(shelf.names()))}" for key, shelf in KINDS.items()]
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=4))
    return [*kinds, *(f"{key}={str(draw(VALUES[key])).lower()}" for key in keys)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_settings_are_refused_in_one_line_or_trained_by(chosen: list[str]) -> None:
    config = Config(data=DataConfig(dataset="glyphs"))
    try:
        kinds = config.with_overrides(chosen[: len(KINDS)])
        config = kinds.with_overrides([*synthetic.read(kinds, SMALL), *synthetic.read(kinds, chosen[len(KINDS) :])])
        config = prepare(config, DATASET)
    except VmaError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    with tempfile.TemporaryDirectory() as folder:
        summary = train(RunDirectory.create(Path(folder) / "run", config), DATASET)
    assert summary.step == 1
    assert math.isfinite(summary.nll)


def test_what_fails_in_the_first_step_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory.create(tmp_path / "run", prepare(synthetic.config(), DATASET))

    def fails(*arguments: Any) -> None:
        raise IndexError("list index\nout of range")

    monkeypatch.setattr(loop.Trainer, "update", fails)
    with pytest.raises(VmaError, match=r"no model trains by these settings \(list index out of range\)"):
        train(run, DATASET)
