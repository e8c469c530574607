"""Nothing that is beside the work ends it: printing, TensorBoard, a terminal that goes, Ctrl-C while modules load."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.vmacli.conftest import TINY, Shell
from vmacli.interrupts import interrupts
from vmacli.output import Output
from vmacli.processes import stopping

Start = Callable[..., "subprocess.Popen[str]"]


def test_notes_that_cannot_be_written_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def refused(*text: str) -> None:
        tries.append(text)
        raise OSError(errno.EIO, "Input/output error")

    output = Output(as_json=False, quiet=False)
    stream = SimpleNamespace(write=refused, flush=refused, isatty=lambda: False, encoding="utf-8", fileno=refused)
    monkeypatch.setattr(sys, "stderr", stream)
    output.note("a")
    output.note("b")
    output.error("c")
    assert len(tries) == 2  # write, and fileno to turn it away
    monkeypatch.setattr(sys, "stderr", None)
    output.note("d")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_training_goes_on_where_its_log_is_full(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vmacli", "train", "--dataset", "digits", "--name", "a", "--steps", "20", *TINY]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 0
    assert (tmp_path / "runs" / "a" / "latest").read_text() == "20"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("mode", ["--json", "--quiet", None])
def test_a_result_that_cannot_be_written_is_told(tmp_path: Path, mode: str | None) -> None:
    command = [sys.executable, "-m", "vmacli", "info", *([mode] if mode else [])]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device; what was saved stays\n"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_terminal_that_hangs_up_asks_for_a_save() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stopping() as stop:
            for _ in range(3):  # shells and terminals send it one after the other
                signal.raise_signal(signal.SIGHUP)
            assert stop()
            assert stop.exit_code == 129
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with stopping() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_ctrl_c_that_was_swallowed_is_heard_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "heard", True)
    with pytest.raises(KeyboardInterrupt), stopping():
        pass


INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from vmacli.start import run
run()
"""


@pytest.mark.parametrize("module", ["typer", "rich.progress", "vmacore.data", "torch", "torch.nn.functional"])
def test_ctrl_c_while_a_module_loads_is_one_line(tmp_path: Path, module: str) -> None:
    code = INTERRUPTED.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", code, "info"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_tensorboard_that_fails_ends_no_training(shell: Shell) -> None:
    run = shell.runs / "a"
    shell("train", "--dataset", "digits", "--name", "a", "--steps", "10", *TINY)
    (run / "tensorboard").write_text("in the way")
    told = shell("train", "--resume", "a", "--steps", "20", "--tensorboard").stderr
    assert told.count("no TensorBoard events any more") == 1
    assert (run / "latest").read_text() == "20"
