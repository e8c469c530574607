"""Fixtures that every test may use."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.data.server import Server

if TYPE_CHECKING:
    from vmacore.runs.directory import RunDirectory

# Before anything imports torch, and for subprocesses too: small tensors gain nothing from threads, and lose
# much to them on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in its background deaf to Ctrl-C; tests of it, and the processes they start, have to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples everywhere and always, none kept from run to run, none failing for being slow on a busy machine.
settings.register_profile(
    "vma",
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("vma")


# What starts processes, trains through a command, or times something; `make quick` leaves these out.
SLOW = (
    "tests/bench/",
    "tests/docs/",
    "tests/experiments/",
    "tests/vmacli/",
    "tests/memory/test_sharded.py",
    "tests/reports/test_browser.py",
    "tests/training/test_resuming.py",
    "tests/test_classifier_checks.py",
    "tests/test_distributed.py",
    "tests/test_python_page.py",
    "tests/test_release.py",
    "tests/test_torture.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by where it stands."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _no_trace_of_a_command() -> Iterator[None]:
    """A command takes numbers next to zero for zero in its whole process, which here runs other tests after it."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real data that VMA_TEST_DATA names (omniglot/, MNIST/); it is only ever read."""
    named = os.environ.get("VMA_TEST_DATA")
    if not named:
        pytest.skip("VMA_TEST_DATA does not name a folder with real data")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"VMA_TEST_DATA names {folder}, which is no folder")
    return folder


@pytest.fixture(scope="session")
def real_omniglot(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder into which Omniglot has been imported."""
    from vmacore.data.sets import omniglot

    data_dir = tmp_path_factory.mktemp("omniglot")
    omniglot.import_from(real_data / "omniglot", data_dir)
    return data_dir


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> "RunDirectory":
    """20 steps without a stop, validated at 10 and 20."""
    from tests.small_runs import DATASET, create_run
    from vmacore.training.loop import train

    run = create_run(tmp_path_factory.mktemp("straight") / "run", training={"steps": 20, "validate_every": 10})
    train(run, DATASET)
    return run


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell says about folders must not reach the tests."""
    monkeypatch.delenv("VMA_DATA", raising=False)
    monkeypatch.delenv("VMA_RUNS", raising=False)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights of an installed package: without those that are published beside it."""
    from vmacore.runs import shipped

    folder = tmp_path / "site-packages" / "vmacore" / "weights"
    folder.mkdir(parents=True)
    for name, path in shipped.shipped_weights().items():
        if name not in shipped.published():
            (folder / name).symlink_to(path)
    monkeypatch.setattr(shipped, "PACKAGE", folder)
    return folder


@pytest.fixture
def server(no_waiting: None) -> Iterator[Server]:
    """A server to download from."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads are tried again at once."""
    import pooch

    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
