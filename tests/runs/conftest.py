"""A run directory that nothing was saved to."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmacore.config import Config, DataConfig
from vmacore.runs.directory import RunDirectory

CONFIG = Config(data=DataConfig(dataset="glyphs"))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "one", CONFIG)
