"""A server to download from."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pooch
import pytest

from tests.data.server import Server


@pytest.fixture
def server(no_waiting: None) -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
