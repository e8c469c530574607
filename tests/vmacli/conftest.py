"""A tiny run on built-in data, made by the command itself, that the tests of the other commands read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from vmacli.main import app

SMALL = [  # whatever the networks
    *("--set", "model.hidden=8", "--set", "model.latent=4"),
    *("--set", "model.embedding=8", "--set", "episode.classes=4", "--set", "episode.targets=2"),
    *("--set", "training.validate_every=10", "--set", "training.validation_episodes=2"),
    *("--set", "training.checkpoint_every=10", "--set", "training.metrics_every=5"),
]
TINY = ["--set", "model.channels=[4,4]", *SMALL]
ADDRESSES = [  # labels teach h, and nothing else is trained
    *("--set", "objective.trains=addresses", "--set", "model.tied=true"),
    *("--set", "labels.weight=1.0", "--set", "labels.classes=4"),
]


@dataclass(frozen=True)
class Shell:
    """Runs commands in this process, with folders of their own."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def __call__(self, command: str, *arguments: str, code: int = 0) -> Result:
        """The result of a command, after checking its exit code."""
        folders = {"VMA_RUNS": str(self.runs), "VMA_DATA": str(self.folder / "data"), "COLUMNS": "80"}
        result = CliRunner().invoke(app, [command, *arguments], env=folders)
        assert result.exit_code == code, result.output
        return result

    def json(self, command: str, *arguments: str) -> dict[str, Any]:
        """The one JSON document on stdout."""
        result = self(command, *arguments, "--json")
        assert result.stdout.count("\n") == 1
        document: dict[str, Any] = json.loads(result.stdout, parse_constant=_refuse)
        assert document["command"] == command
        return document

    def refused(self, command: str, *arguments: str) -> str:
        """The one line of a foreseen failure."""
        result = self(command, *arguments, code=1)
        lines = result.stderr.splitlines()
        assert result.stdout == ""
        assert lines
        assert lines[-1].startswith("error: ")
        assert sum(line.startswith("error: ") for line in lines) == 1
        assert "Traceback" not in result.stderr
        return lines[-1]

    def misused(self, command: str, *arguments: str) -> str:
        """What Typer says about wrong usage."""
        result = self(command, *arguments, code=2)
        assert result.stdout == ""
        assert "Usage: " in result.stderr
        assert "Traceback" not in result.stderr
        return result.stderr


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture(autouse=True)
def _denormal_numbers() -> Iterator[None]:
    """Commands have them flushed to zero, for the whole process; other tests must not notice."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands with no run and no data."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands with one run, `tiny`, 20 steps on digits; for tests that only read it."""
    made = Shell(tmp_path_factory.mktemp("trained"))
    made("train", "--dataset", "digits", "--name", "tiny", "--steps", "20", *TINY)
    return made


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `vma` as a process of its own, in a folder; whatever is still running after the test is ended."""
    processes = []

    def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "vmacli", *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "80"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()
