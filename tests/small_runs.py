"""Runs of a few steps on a small data set, and what is looked at in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests import synthetic
from vmacore.runs.directory import CHECKSUMS, MOMENTS, STATE, WEIGHTS, RunDirectory
from vmacore.training.loop import prepare

DATASET = synthetic.dataset()


def create_run(path: Path, **sections: dict[str, Any]) -> RunDirectory:
    return RunDirectory.create(path, prepare(synthetic.config(**sections), DATASET))


def files_of(run: RunDirectory) -> dict[str, bytes]:
    """All tensors of the latest checkpoint, byte for byte."""
    step = run.pointed("latest")
    assert step is not None
    files = {path.name: path.read_bytes() for path in run.checkpoint(step).glob("*.safetensors")}
    assert set(files) == {*WEIGHTS.values(), *MOMENTS.values()}
    return files


def metrics_of(run: RunDirectory) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("steps_per_second", "steps")} for row in rows]


def stop_after(count: int) -> Callable[[], bool]:
    """A `stop` that says so when asked for the `count`-th time."""
    asked = iter(range(1, 10**9))
    return lambda: next(asked) == count


def tensors_of(value: float = 1.0) -> dict[str, dict[str, Tensor]]:
    """Weights of one value, as `RunDirectory.save` takes them."""
    return {file: {"weight": torch.full((2, 3), value)} for file in WEIGHTS.values()}


def save_weights(run: RunDirectory, step: int, best: int | None = None, value: float = 1.0) -> None:
    """A checkpoint without training."""
    run.save(step, tensors_of(value), {"best": {} if best is None else {"step": best}})


def change_state(checkpoint: Path, **changes: Any) -> None:
    """Change entries of the state of a checkpoint, and its checksum with them."""
    document = json.loads((checkpoint / STATE).read_text())
    document[CHECKSUMS].pop(STATE, None)
    (checkpoint / STATE).write_text(json.dumps({**document, **changes}))
