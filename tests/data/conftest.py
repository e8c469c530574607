"""Real data as the data module keeps them, for those tests that want them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmacore.data.sets import omniglot


@pytest.fixture(scope="session")
def real_omniglot(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder into which Omniglot has been imported."""
    data_dir = tmp_path_factory.mktemp("omniglot")
    omniglot.import_from(real_data / "omniglot", data_dir)
    return data_dir
