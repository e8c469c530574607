"""What runs and shipped weights there are, in short."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory, read_state
from vmacore.runs.finding import last_saved, list_runs, run_folders, settled
from vmacore.runs.shipped import shipped_weights


@dataclass(frozen=True)
class RunSummary:
    """Where a run stands.

    step: of the newest checkpoint; None where nothing is saved yet, or it can't be read, and `error` says why.
    best_*: at the best step on validation: nats, and 5-way 1-shot accuracy where the model has one. trains: "all" or
    "addresses", where the NLL is of the class. saved: when its newest checkpoint was, else its configuration, as
    2024-11-27T05:41:10+00:00. bytes: of all its files.
    """

    name: str
    path: str
    recipe: str | None
    dataset: str
    protocol: str | None
    system: str
    trains: str
    step: int | None
    steps: int
    best_step: int | None
    best_validation_nll: float | None
    best_validation_accuracy: float | None
    saved: str
    bytes: int
    error: str | None


@dataclass(frozen=True)
class BrokenRun:
    """A folder with a configuration that can't be read; error: one line that says why."""

    name: str
    path: str
    error: str


@dataclass(frozen=True)
class ShippedWeights:
    """Weights that belong to vma, here to be used."""

    name: str
    dataset: str
    path: str


def run_summaries(runs_dir: Path) -> list[RunSummary]:
    """Every run, the newest first. A checkpoint that can't be read is no reason to hide the others."""
    return [run_summary(run) for run in list_runs(runs_dir)]


def broken_runs(runs_dir: Path) -> list[BrokenRun]:
    """Every folder that holds a configuration and is no run, by name."""
    broken = []
    for path in run_folders(runs_dir):
        if os.path.lexists(path / "config.toml"):
            try:
                RunDirectory.open(path)
            except VmaError as error:
                broken.append(BrokenRun(path.name, str(path), str(error)))
    return broken


def shipped_summaries(data_dir: Path | None = None) -> list[ShippedWeights]:
    """All weights of the package and those downloaded, by name."""
    return [
        ShippedWeights(name, RunDirectory.open(path).config.data.dataset, str(path))
        for name, path in shipped_weights(data_dir).items()
    ]


def run_summary(run: RunDirectory) -> RunSummary:
    """Where a run stands."""
    state: dict[str, Any] = {}
    wrong = None
    try:
        state = settled(partial(_state, run))
    except VmaError as error:
        wrong = str(error)
    best, config = state.get("best", {}), run.config
    return RunSummary(
        name=run.path.name,
        path=str(run.path),
        recipe=config.recipe,
        dataset=config.data.dataset,
        protocol=config.data.protocol,
        system=config.model.system,
        trains=config.objective.trains,
        step=state.get("step"),
        steps=config.training.steps,
        best_step=best.get("step"),
        best_validation_nll=best.get("nll"),
        best_validation_accuracy=best.get("accuracy"),
        saved=datetime.fromtimestamp(last_saved(run)).astimezone().isoformat(timespec="seconds"),
        bytes=_bytes(run.path),
        error=wrong,
    )


def _state(run: RunDirectory) -> dict[str, Any]:
    step = run.newest()
    return {} if step is None else read_state(run.checkpoint(step))


def _bytes(folder: Path) -> int:
    """Of all files in a folder and those below, links not followed; what goes meanwhile counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, file)).st_size
    return total
