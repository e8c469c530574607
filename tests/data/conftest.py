"""Real data for those tests that want it: the folder that VMA_TEST_DATA names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmacore.data import omniglot


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with omniglot/*.zip and MNIST/raw, only ever read."""
    name = os.environ.get("VMA_TEST_DATA")
    if not name or not Path(name).is_dir():
        pytest.skip("VMA_TEST_DATA names no folder with omniglot/ and MNIST/raw/")
    return Path(name)


@pytest.fixture(scope="session")
def real_omniglot(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder into which Omniglot has been imported."""
    data_dir = tmp_path_factory.mktemp("omniglot")
    omniglot.import_from(real_data / "omniglot", data_dir)
    return data_dir
