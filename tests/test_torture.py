"""The short form of `make torture`: nothing is lost, and nothing ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = [
    "kills at file events",
    "full disk at file events",
    "flipped bits",
    "readers beside saves",
    "damaged files",
    "command lines",
    "soak",
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("part", PARTS)
def test_no_promise_is_broken(part: str) -> None:
    command = [sys.executable, "-m", "tests.torture", "--small", part]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 wrong" in done.stdout
