"""A lab with folders of its own, and recipes so small that an experiment takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from vmacore.config import Config, load_recipe
from vmacore.evaluation import recognition
from vmacore.experiments import (
    ablations,
    baselines,
    best,
    burda,
    classification,
    fig2b,
    fig3,
    fig4a,
    fig4b,
    fig5a,
    fig5b,
    samples,
    speed,
    table1_best,
)
from vmacore.experiments.lab import plans, table1_cells
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model

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
def make_lab(request: pytest.FixtureRequest, tmp_path: Path, recorder: Recorder) -> Callable[..., Lab]:
    """Makes labs that share their folders, with the fields given; small experiments end all trainings early."""
    small = {"steps": STEPS} if "small_experiments" in request.fixturenames else {}

    def made(**fields: object) -> Lab:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        lab = Lab(tmp_path / "data", tmp_path / "runs", out, torch.device("cpu"), recorder)
        for name, value in {**small, **fields}.items():
            setattr(lab, name, value)
        return lab

    return made


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


def tiny(name: str) -> Config:
    """A recipe made tiny, on digits."""
    config = load_recipe(name)
    return config.with_overrides(["data.dataset=digits", "data.protocol=none", *synthetic.read(config, TINY)])


# Of the recipes of our own what is not tiny yet; digits has no 16 classes.
NETWORKS = (
    "model.view=pixels",
    "model.latent=0",
    "model.stages=[4,4]",
    "model.blocks=[1,1]",
    "model.latent_maps=[1,1]",
    "model.latent_layers=[]",
)
LABELS = ("labels.classes=4", "labels.drawings=2", "episode.classes=4")
BEST = (*NETWORKS, *LABELS, "episode.shots_between=[1,2]")
ADDRESSES = (*NETWORKS, *LABELS, "episode.shots=2")


@pytest.fixture
def tiny_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe that a plan names is a tiny one."""
    monkeypatch.setattr(plans, "load_recipe", tiny)


@pytest.fixture
def small_experiments(tiny_recipes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few episodes, no more classes than digits has, no network that is not tiny."""
    own = replace(samples.BEST, plan=_short_of(samples.BEST.plan))
    small: dict[Any, dict[str, Any]] = {
        baselines: {
            "MEASURED": (((4, 2), 4, 3, 0.5), ((2, 3), 6, 3, 1.0)),
        },
        best: {
            "BEST": replace(best.BEST, plan=_short_of(best.PLAN)),
            "CLASSES": 5,
            "ALL": 10,
            "TARGETS": 2,
            "BOUNDS": (best.Bound(4, 3, 2, 1), best.Bound(6, 3, 2, 1)),
            "SHOTS": {2: "75.1 to 69.1", 4: "68.8 at best"},
            "PAPER": {(3, 1): 91.0},
            "EPISODES": 3,
            "DECODED_EPISODES": 2,
        },
        table1_best: {
            "BEST": replace(table1_best.BEST, plan=_short_of(table1_best.BEST.plan)),
            "CLASSES": (1, 3),
            "ITEMS": (1, 3),
            "PAPER": {(table1_cells.VMA, C): dict.fromkeys(table1_cells.ITEMS, 80.0) for C in (1, 3)},
            "FEW": (2, 3),
            "MANY": (8, 2),
        },
        fig2b: {"ROWS": 3, "COLUMNS": 4},
        fig3: {"EPISODES": 3},
        fig4a: {"ROWS": 3, "COLUMNS": 4, "MEASURED": 5},
        fig4b: {"CLASSES": 2, "SHOTS": (1, 2), "TUNING": 2, "TOTAL": 10, "ROUNDS": 2},
        fig5a: {"CLASSES": (1, 2, 10), "ROUNDS": 2},
        fig5b: {"CLASSES": 10, "SHOTS": (1, 2), "TRAINED": (1,), "ROUNDS": 2},
        classification: {"PAPER": {(3, 1): 91.0}, "EPISODES": 4, "DECODED_EPISODES": 2, "QUERIES": 2},
        ablations: {
            "EPISODES": 3,
            "SYSTEMS": tuple(
                replace(one, plan=replace(one.plan, overrides=_without_sizes(one.plan.overrides)))
                for one in ablations.SYSTEMS
            ),
        },
        burda: {
            "STANDING_IN": "digits",
            "FULL_CHANNELS": "model.channels=[4,4]",
            "STEPS": None,
            "BATCHES": 2,
            "MANY_BATCHES": 2,
            "MANY": 10,
            "SLOTS": {"small": 256, "large": 6},
            "KINDS": {
                key: (label, tuple(s for s in _without_sizes(overrides) if "2048" not in s) + extra)
                for (key, (label, overrides)), extra in zip(
                    burda.KINDS.items(), ((), (), ("model.learned_slots=6",), ()), strict=True
                )
            },
        },
        speed: {"SLOTS": (2, 4), "ROUNDS": 2, "TARGETS": 3},
        recognition: {"WAY": 4, "EACH": 3},
        samples: {
            "BEST": own,
            "MEASURED": (own, *samples.MEASURED[1:]),
            "JUDGE": plans.Plan("omniglot-addresses", "judge", ADDRESSES),
            "DRAWN": ((1.0, 1), (0.5, 1), (1.0, 4)),
            "EPISODES": 3,
        },
    }
    for module, constants in small.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


def _short_of(plan: plans.Plan) -> plans.Plan:
    """A training of our own from nothing."""
    return replace(plan, overrides=BEST, name=plan.recipe, steps=None, init=None)


def _without_sizes(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Overrides without those of size; 32 classes are more than digits has."""
    sizes = [setting.partition("=")[0] for setting in TINY]
    kept = tuple(setting for setting in overrides if setting.partition("=")[0] not in sizes)
    return tuple(setting.replace("classes=32", "classes=10") for setting in kept)


def model(lab: Lab, name: str = "omniglot-1e-4") -> VariationalMemoryAddressing:
    made = load_model(find_run(name, runs_dir=lab.runs_dir))
    assert isinstance(made, VariationalMemoryAddressing)
    return made


def row(result: Result, label: str, group: str | None = None) -> Row:
    (one,) = [one for one in result.rows if one.label == label and group in (None, one.group)]
    return one


def number(result: Result, label: str, group: str | None = None) -> float:
    ours = row(result, label, group).ours
    assert ours is not None
    return ours
