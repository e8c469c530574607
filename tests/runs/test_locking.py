"""The lock on a run: one process trains it, and a process that is gone holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import synthetic
from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory
from vmacore.runs.locking import LOCK, locked
from vmacore.training.loop import prepare, train

HOLDER = f"""
import fcntl, sys, time
file = open(sys.argv[1] + "/{LOCK}", "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write("12345"); file.flush()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", prepare(synthetic.config(), synthetic.dataset()))


def test_a_second_process_is_kept_out_until_the_first_is_gone(run: RunDirectory) -> None:
    pytest.importorskip("fcntl", reason="this system has no locks")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(VmaError, match=r"process 12345 trains .*run already: ") as caught:
            train(run, synthetic.dataset(), steps=2)
        assert "\n" not in str(caught.value)
        assert not (run.path / "metrics.jsonl").exists()
        holder.kill()
        holder.wait()
    assert train(run, synthetic.dataset(), steps=2).step == 2


def test_a_failure_lifts_it(run: RunDirectory) -> None:
    with pytest.raises(ZeroDivisionError), locked(run.path):
        raise ZeroDivisionError
    with locked(run.path):
        pass
    assert (run.path / LOCK).read_text() == ""


def test_within_one_process(run: RunDirectory) -> None:
    with locked(run.path), pytest.raises(VmaError, match=r"trains .* already"), locked(run.path):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"cannot write .*: No such file"), locked(tmp_path / "gone"):
        pass


def test_a_lock_that_is_somebody_elses_file_is_left_alone(run: RunDirectory, tmp_path: Path) -> None:
    important = tmp_path / "important"
    important.write_text("years of work")
    for link in (os.symlink, os.link):
        link(important, run.path / LOCK)
        with pytest.raises(VmaError, match=r"\.lock"), locked(run.path):
            pass
        assert important.read_text() == "years of work"
        (run.path / LOCK).unlink()
    (run.path / LOCK).write_text("years of work")
    with pytest.raises(VmaError, match="is no lock"), locked(run.path):
        pass
    assert (run.path / LOCK).read_text() == "years of work"
