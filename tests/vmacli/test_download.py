"""`vma download`: what it says; what it fetches and imports is tested with vmacore.data."""

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from tests.vmacli.conftest import Shell
from vmacli.download import download
from vmacore.data import download as sources


def test_says_what_landed_where(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretended(
        name: str, data_dir: Path, source: Path | None, progress: sources.ReportProgress, *, offline: bool
    ) -> sources.Downloaded:
        assert (source, offline) == (None, False)
        progress(1_000_000, None)
        progress(9_000_000, 9_000_000)
        return sources.Downloaded(data_dir / name, "1623 characters")

    monkeypatch.setattr(sources, "download", pretended)
    landed = str(shell.folder / "data" / "omniglot")
    document = shell.json("download", "omniglot")
    assert document["dataset"] == "omniglot"
    assert document["path"] == landed
    assert document["description"] == "1623 characters"
    text = shell("download", "omniglot").stdout
    assert "1623 characters" in text
    assert landed in text
    assert shell("download", "omniglot", "--quiet").stdout == f"{landed}\n"


@pytest.mark.parametrize(
    ("name", "folder", "described"),
    [
        ("omniglot", "omniglot", "1623 characters"),
        ("mnist", "MNIST", "70,000 digits"),
        ("omniglot-gmn", "gmn", "1623 characters"),
    ],
)
def test_imports_real_data(shell: Shell, real_data: Path, name: str, folder: str, described: str) -> None:
    document = shell.json("download", name, "--from", str(real_data / folder), "--offline")
    assert Path(document["path"]).is_dir()
    assert described in document["description"]
    assert {row["name"]: row["found"] for row in shell.json("info")["data"]}[name]


def test_what_can_be_downloaded_is_what_the_library_fetches() -> None:
    assert set(sources.FETCHABLE) < set(get_args(get_type_hints(download)["name"]))  # others are built in


@pytest.mark.parametrize("name", sources.FETCHABLE)
def test_foreseen_failures(shell: Shell, tmp_path: Path, name: str) -> None:
    assert "--from PATH" in shell.refused("download", name, "--offline")
    assert "absent" in shell.refused("download", name, "--from", str(tmp_path / "absent"))
    assert "built in" in shell.refused("download", "glyphs")
    (tmp_path / "empty").mkdir()
    assert "empty" in shell.refused("download", name, "--from", str(tmp_path / "empty"))


@pytest.mark.parametrize("arguments", [(), ("absent",), ("omniglot", "mnist")])
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.misused("download", *arguments)
