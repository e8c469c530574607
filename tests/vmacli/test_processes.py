"""What a command does about other processes, and what it is told of numbers too small to matter."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.vmacli.conftest import TINY, Shell
from vmacli.opening import choose_device
from vmacli.processes import Stop
from vmacore.distributed import AnotherFailed

TOGETHER = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vmacli", "train")


def _metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_make_the_run_that_one_makes(shell: Shell) -> None:
    options = ("--dataset", "digits", "--steps", "10", *TINY)
    shell("train", *options, "--name", "one")
    done = subprocess.run(
        [sys.executable, *TOGETHER, *options, "--name", "two", "--json", "--runs-dir", str(shell.runs)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # one document: the first process alone prints
    assert (document["step"], document["run"]) == (10, str(shell.runs / "two"))
    assert done.stderr.count("training on digits") == done.stderr.count("step 10: validation") == 1
    assert "to step 10, 2 processes, on cpu" in done.stderr
    for found, expected in zip(_metrics(shell.runs / "two"), _metrics(shell.runs / "one"), strict=True):
        for name in ("nll", "kl_address", "kl_latent"):
            assert found[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6)


def test_only_the_first_to_fail_speaks(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def joined(device: torch.device) -> None:
        raise AnotherFailed("another process failed")

    monkeypatch.setattr("vmacore.distributed.launched", lambda: True)
    monkeypatch.setattr("vmacore.distributed.joined", joined)
    result = shell("train", "--dataset", "digits", *TINY, code=1)
    assert (result.stdout, result.stderr) == ("", "")


def test_exit_codes() -> None:
    assert Stop().exit_code == 130  # another process was asked to stop
    stop = Stop()
    stop.hear(signal.SIGTERM, None)
    assert stop.exit_code == 143


def test_denormal_numbers_are_flushed() -> None:
    small = torch.tensor([1e-39])
    assert float(small * 0.5) > 0
    choose_device("cpu")
    assert float(small * 0.5) == 0
