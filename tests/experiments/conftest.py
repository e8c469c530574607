"""A lab with folders of its own, and recipes so small that an experiment takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from vmacore.config import Config, load_recipe
from vmacore.experiments import plans
from vmacore.experiments.lab import Lab

STEPS = 4
TINY = (
    "model.channels=[4,4]",
    "model.hidden=8",
    "model.latent=4",
    "model.embedding=8",
    f"training.steps={STEPS}",
    "training.metrics_every=1",
    "training.validate_every=1000000",
    "training.validation_episodes=2",
    "training.checkpoint_every=1000000",
)


@dataclass
class Counter:
    """Remembers what was counted last."""

    done: float = 0

    def update(self, done: float, total: float | None = None, detail: str = "") -> None:
        self.done = done


@dataclass
class Recorder:
    """Keeps what it is told."""

    lines: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def progress(self, unit: str, total: float | None = None) -> Iterator[Counter]:
        yield Counter()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_lab(tmp_path: Path, recorder: Recorder) -> Callable[..., Lab]:
    """Makes labs that share their folders, with the fields given."""

    def made(**fields: object) -> Lab:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        lab = Lab(tmp_path / "data", tmp_path / "runs", out, torch.device("cpu"), recorder)
        for name, value in fields.items():
            setattr(lab, name, value)
        return lab

    return made


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


def tiny(name: str) -> Config:
    """A recipe made tiny, on digits."""
    config = load_recipe(name)
    return config.with_overrides(["data.dataset=digits", "data.protocol=none", *TINY])


@pytest.fixture
def tiny_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe that a plan names is a tiny one."""
    monkeypatch.setattr(plans, "load_recipe", tiny)
