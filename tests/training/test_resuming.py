"""A run that was stopped, killed or damaged goes on bit for bit as if it never had been, or says why not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small_runs import DATASET, change_state, create_run, files_of, metrics_of, stop_after
from vmacore.errors import VmaError
from vmacore.runs.directory import MOMENTS, STATE, WEIGHTS, RunDirectory, read_state
from vmacore.runs.finding import find_run
from vmacore.runs.weights import newest_whole
from vmacore.training import trainer
from vmacore.training.loop import ValidationReport, train
from vmacore.training.start import Start

# For processes of their own, which must see the same threads.
SCRIPT = """
import sys
from pathlib import Path
from tests import synthetic
from vmacore.runs.directory import RunDirectory
from vmacore.training.loop import train

for argument in sys.argv[1:]:
    what, path, steps = argument.split("=")
    path = Path(path)
    run = RunDirectory.open(path) if what == "resume" else RunDirectory.create(path, synthetic.config())
    train(run, synthetic.dataset(), steps=int(steps), resume=what == "resume")
"""


def test_resuming_equals_not_stopping(straight: RunDirectory, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 10, "validate_every": 10})
    assert train(run, DATASET).step == 10
    assert files_of(run) != files_of(straight)
    summary = train(RunDirectory.open(run.path), DATASET, steps=20, resume=True)
    assert summary.step == 20
    assert files_of(run) == files_of(straight)
    assert metrics_of(run) == metrics_of(straight)
    for pointer in ("latest", "best"):
        assert run.pointed(pointer) == straight.pointed(pointer)
    assert RunDirectory.open(run.path).config == straight.config  # the steps were extended


@pytest.mark.parametrize("step", [1, 7, 13])
def test_resuming_after_an_interruption(straight: RunDirectory, tmp_path: Path, step: int) -> None:
    run = create_run(tmp_path / "run", training={"steps": 20, "validate_every": 10})
    summary = train(run, DATASET, stop=stop_after(step))
    assert (summary.step, summary.interrupted, run.pointed("latest")) == (step, True, step)
    summary = train(run, DATASET, resume=True)
    assert (summary.step, summary.interrupted) == (20, False)
    assert files_of(run) == files_of(straight)
    validation = [row for row in metrics_of(run) if row["kind"] == "validation"]
    assert validation == [row for row in metrics_of(straight) if row["kind"] == "validation"]


def test_a_stop_at_the_last_step_is_no_interruption(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 3})
    assert train(run, DATASET, stop=stop_after(3)).interrupted is False
    assert run.pointed("latest") == 3


def test_resuming_a_learned_memory_clipped_and_decayed(tmp_path: Path) -> None:
    sections: dict[str, dict[str, Any]] = {
        "model": {"learned_slots": 6},
        "optimiser": {"clip": 1.0, "weight_decay": 0.01},
        "training": {"steps": 8, "metrics_every": 4},
    }
    whole, parts = (create_run(tmp_path / name, **sections) for name in ("whole", "parts"))
    train(whole, DATASET)
    train(parts, DATASET, stop=stop_after(5))
    train(parts, DATASET, resume=True)
    assert files_of(parts) == files_of(whole)


SCHEDULED: dict[str, dict[str, Any]] = {
    "model": {"learned_slots": 6},
    "optimiser": {"warmup": 4, "decay": 0.5, "clip": 1.0, "weight_decay": 0.01},
    "training": {"steps": 10, "metrics_every": 5},
}


@pytest.mark.parametrize("stops", [(3,), (5,), (2, 6)], ids=str)  # while the rate rises, between, while both change
def test_resuming_while_the_rate_rises_and_falls(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole, parts = (create_run(tmp_path / name, **SCHEDULED) for name in ("whole", "parts"))
    train(whole, DATASET)
    for count, step in enumerate(stops):
        train(parts, DATASET, stop=stop_after(step), resume=count > 0)
    train(parts, DATASET, resume=True)
    assert files_of(parts) == files_of(whole)


@pytest.fixture
def processes() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts training in a process of its own, which does not outlive the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_kill_9_and_resume_equal_not_stopping(
    tmp_path: Path, processes: Callable[..., subprocess.Popen[bytes]]
) -> None:
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = processes(f"train={killed}=1000000")
    deadline = time.monotonic() + 300
    while process.poll() is None and not _reached(killed, 30) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    step = RunDirectory.open(killed).pointed("latest")
    assert step is not None

    target = step + 15
    assert processes(f"resume={killed}={target}", f"train={straight}={target}").wait() == 0
    runs = RunDirectory.open(killed), RunDirectory.open(straight)
    assert [run.pointed("latest") for run in runs] == [target, target]
    assert files_of(runs[0]) == files_of(runs[1])
    assert metrics_of(runs[0]) == metrics_of(runs[1])


def _reached(path: Path, step: int) -> bool:
    latest = path / "latest"
    return latest.exists() and int(latest.read_text()) >= step


def test_metrics_are_cut_back_to_the_checkpoint(straight: RunDirectory, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 10, "validate_every": 10})
    train(run, DATASET)
    with (run.path / "metrics.jsonl").open("a") as file:  # as a killed process leaves them
        file.write('{"kind": "train", "step": 15, "nll": 1.0}\n7\n{"kind": "train", "st')
    train(run, DATASET, steps=20, resume=True)
    assert metrics_of(run) == metrics_of(straight)


class _Killed(Exception):
    """Stands for a kill: nothing is saved."""


def _kill_after(count: int) -> Callable[[], bool]:
    asked = iter(range(1, 10**9))

    def stop() -> bool:
        if next(asked) == count:
            raise _Killed
        return False

    return stop


def test_the_best_before_a_resume_stays_the_best(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 10})
    train(run, DATASET)
    change_state(run.checkpoint(10), best={"step": 10, "nll": 1.0, "accuracy": None})
    validations: list[ValidationReport] = []
    train(run, DATASET, steps=12, resume=True, on_validation=validations.append)
    assert [(report.step, report.is_best) for report in validations] == [(12, False)]
    assert (run.pointed("latest"), run.pointed("best")) == (12, 10)
    assert find_run(run.path, runs_dir=tmp_path).step == 10


def test_the_best_is_saved_between_checkpoints(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"validate_every": 3, "checkpoint_every": 1000})
    with pytest.raises(_Killed):
        train(run, DATASET, stop=_kill_after(4))
    assert (run.pointed("latest"), run.pointed("best")) == (3, 3)


def test_a_run_killed_before_its_first_checkpoint_begins_again(straight: RunDirectory, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 20, "validate_every": 10})
    with pytest.raises(_Killed):
        train(run, DATASET, stop=_kill_after(7))
    assert run.pointed("latest") is None
    assert [row["step"] for row in metrics_of(run)] == [5]
    train(run, DATASET, resume=True)
    assert files_of(run) == files_of(straight)
    assert metrics_of(run) == metrics_of(straight)


def test_a_run_killed_early_still_starts_from_the_weights_it_was_given(straight: RunDirectory, tmp_path: Path) -> None:
    location = find_run(straight.checkpoint(20), runs_dir=tmp_path)
    whole, killed = create_run(tmp_path / "whole"), create_run(tmp_path / "killed")
    train(whole, DATASET, start=Start.of(location))
    with pytest.raises(_Killed):
        train(killed, DATASET, start=Start.of(location), stop=_kill_after(7))
    assert killed.pointed("latest") == 0
    train(killed, DATASET, resume=True)
    assert files_of(killed) == files_of(whole)
    assert metrics_of(killed) == metrics_of(whole)


def test_resuming_a_run_that_is_done(straight: RunDirectory) -> None:
    files, metrics = files_of(straight), metrics_of(straight)
    summary = train(straight, DATASET, resume=True)
    last = [row for row in metrics if row["kind"] == "train"][-1]
    assert (summary.step, summary.nll, summary.kl_latent) == (20, last["nll"], last["kl_latent"])
    assert (files_of(straight), metrics_of(straight)) == (files, metrics)


def test_resuming_to_fewer_steps_changes_nothing(straight: RunDirectory) -> None:
    before = (straight.path / "config.toml").read_bytes()
    with pytest.raises(VmaError, match="stands at step 20 already"):
        train(straight, DATASET, steps=10, resume=True)
    assert (straight.path / "config.toml").read_bytes() == before


@pytest.mark.parametrize("file", [*WEIGHTS.values(), *MOMENTS.values()])
def test_resuming_from_a_damaged_checkpoint(tmp_path: Path, file: str) -> None:
    run = create_run(tmp_path / "run", training={"steps": 2})
    train(run, DATASET)
    path = run.checkpoint(2) / file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VmaError, match=f"{file} is missing or damaged"):
        train(run, DATASET, steps=4, resume=True)


@pytest.mark.parametrize("file", [STATE, WEIGHTS["raw"], MOMENTS["exp_avg"]])
def test_a_damaged_checkpoint_is_stepped_over(straight: RunDirectory, tmp_path: Path, file: str) -> None:
    run = create_run(tmp_path / "run", training={"steps": 20, "validate_every": 10})
    train(run, DATASET, stop=stop_after(5))
    train(run, DATASET, stop=stop_after(3), resume=True)
    assert run.steps() == [8, 5]
    (run.checkpoint(8) / file).write_bytes(b"\0" * 100)
    step, wrong = newest_whole(run)
    assert step == 5
    assert f"{file} is missing or damaged" in wrong
    train(run, DATASET, resume=True)
    assert files_of(run) == files_of(straight)
    assert [row["step"] for row in metrics_of(run)] == sorted(row["step"] for row in metrics_of(run))


@pytest.mark.parametrize("step", [None, 2])
def test_no_memory_is_taken_for_weights_of_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int | None
) -> None:
    run = create_run(tmp_path / "run", training={"steps": 2})
    train(run, DATASET)
    larger = run.with_config(run.config.with_overrides(["model.hidden=99"]))
    monkeypatch.setattr(trainer, "build_model", None)
    with pytest.raises(VmaError, match=r"weights\.safetensors: .* has shape .*, but this model needs"):
        train(larger, DATASET, steps=4, resume=True, resume_from=step)


def test_going_back_to_a_step(straight: RunDirectory, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", training={"steps": 20, "validate_every": 10})
    train(run, DATASET, stop=stop_after(4))
    train(run, DATASET, resume=True)
    _, earlier = run.steps()
    summary = train(run, DATASET, resume=True, resume_from=earlier, stop=stop_after(1))
    assert (summary.step, run.pointed("latest")) == (earlier + 1, earlier + 1)
    train(run, DATASET, resume=True)
    assert files_of(run) == files_of(straight)


@pytest.mark.parametrize("best", [10, 5])
def test_going_back_before_the_best(tmp_path: Path, best: int) -> None:
    run = create_run(tmp_path / "run", training={"steps": 12})
    train(run, DATASET, stop=stop_after(10))
    change_state(run.checkpoint(10), best={"step": best, "nll": 1.0, "accuracy": None})  # step 5 is gone
    train(run, DATASET, steps=12, resume=True)
    run.point("best", 12)
    train(run, DATASET, resume=True, resume_from=10, stop=stop_after(1))
    assert (run.pointed("latest"), run.pointed("best")) == (11, 10 if best == 10 else None)
    assert read_state(run.checkpoint(11))["best"].get("step") == run.pointed("best")
