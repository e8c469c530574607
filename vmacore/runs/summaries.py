"""What runs and shipped weights there are, in short."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory, read_state
from vmacore.runs.finding import list_runs, settled
from vmacore.runs.shipped import shipped_weights


@dataclass(frozen=True)
class RunSummary:
    """Where a run stands. step: None where nothing is saved yet, or can't be read. nll: in nats, on validation."""

    name: str
    path: str
    dataset: str
    protocol: str | None
    step: int | None
    steps: int
    best_step: int | None
    best_validation_nll: float | None


@dataclass(frozen=True)
class ShippedWeights:
    """Weights that belong to vma, here to be used."""

    name: str
    dataset: str
    path: str


def run_summaries(runs_dir: Path) -> list[RunSummary]:
    """Every run, the newest first. A checkpoint that can't be read is no reason to hide the others."""
    return [_summary(run) for run in list_runs(runs_dir)]


def shipped_summaries(data_dir: Path | None = None) -> list[ShippedWeights]:
    """All weights of the package and those downloaded, by name."""
    return [
        ShippedWeights(name, RunDirectory.open(path).config.data.dataset, str(path))
        for name, path in shipped_weights(data_dir).items()
    ]


def _summary(run: RunDirectory) -> RunSummary:
    try:
        latest = settled(partial(_state, run))
    except VmaError:
        latest = {}
    best = latest.get("best", {})
    return RunSummary(
        name=run.path.name,
        path=str(run.path),
        dataset=run.config.data.dataset,
        protocol=run.config.data.protocol,
        step=latest.get("step"),
        steps=run.config.training.steps,
        best_step=best.get("step"),
        best_validation_nll=best.get("nll"),
    )


def _state(run: RunDirectory) -> dict[str, Any]:
    step = run.pointed("latest")
    return {} if step is None else read_state(run.checkpoint(step))
