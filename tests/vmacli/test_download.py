"""`vma download`: what it says; what it fetches and imports is tested with vmacore.data."""

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import vmacore
from tests.data.pictures import save_classes
from tests.vmacli.conftest import Shell
from vmacli.download import download
from vmacore.data import download as sources
from vmacore.shelf import DATASETS

CHECKOUT = Path(vmacore.__file__).parent / "weights"


def test_says_what_landed_where(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretended(
        name: str,
        data_dir: Path,
        source: Path | None,
        progress: sources.ReportProgress,
        *,
        offline: bool,
        base_url: str,
    ) -> sources.Downloaded:
        assert (source, offline, base_url) == (None, False, "https://nowhere.invalid")
        progress(1_000_000, None)
        progress(9_000_000, 9_000_000)
        return sources.Downloaded(data_dir / name, "1623 characters")

    monkeypatch.setattr(sources, "download", pretended)
    landed = str(shell.folder / "data" / "omniglot")
    place = ("--url", "https://nowhere.invalid")
    document = shell.json("download", "omniglot", *place)
    assert document["dataset"] == "omniglot"
    assert document["path"] == landed
    assert document["description"] == "1623 characters"
    text = shell("download", "omniglot", *place).stdout
    assert "1623 characters" in text
    assert landed in text
    assert shell("download", "omniglot", "--quiet", *place).stdout == f"{landed}\n"


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


def test_the_choices_are_those_of_the_library() -> None:
    choices = get_args(get_type_hints(download)["what"])
    assert choices == (*DATASETS.names(), "weights")
    assert set(sources.REMOTES) < set(choices)  # others are built in


@pytest.mark.parametrize("name", sources.REMOTES)
def test_foreseen_failures(shell: Shell, tmp_path: Path, name: str) -> None:
    assert "--from PATH" in shell.refused("download", name, "--offline")
    assert "absent" in shell.refused("download", name, "--from", str(tmp_path / "absent"))
    assert "built in" in shell.refused("download", "glyphs")
    (tmp_path / "empty").mkdir()
    assert "empty" in shell.refused("download", name, "--from", str(tmp_path / "empty"))


@pytest.mark.usefixtures("installed")
def test_weights(shell: Shell, tmp_path: Path) -> None:
    assert "vma download weights omniglot-vae" in shell.refused("info", "omniglot-vae")
    assert "omniglot-vae" in shell.json("info")["absent_weights"]
    packed = "vma download weights: omniglot-45-5, omniglot-gmn-best, omniglot-soft-attention,"
    assert packed in shell("info").stdout
    given = ("download", "weights", "omniglot-vae", "--from", str(CHECKOUT))
    (row,) = shell.json(*given, "--offline")["weights"]
    landed = tmp_path / "data" / "weights" / "omniglot-vae"
    assert row == {"name": "omniglot-vae", "path": str(landed), "description": "step 65,000 on omniglot, 1.7 MB"}
    assert shell(*given, "--quiet").stdout == f"{landed}\n"
    assert "omniglot-vae: step 65,000" in shell(*given).stdout
    assert shell.json("info", "omniglot-vae")["checkpoint"] == str(landed)
    assert "omniglot-vae" in {row["name"] for row in shell.json("info")["shipped"]}
    assert shell.json("export", "omniglot-vae", str(tmp_path / "given"))["step"] == 65_000
    assert "not installed" in shell.refused("info", "omniglot-vae", "--data-dir", str(tmp_path / "elsewhere"))


@pytest.mark.usefixtures("installed")
def test_a_memory_by_weights_that_were_downloaded(shell: Shell, tmp_path: Path) -> None:
    save_classes(tmp_path / "symbols", {"a": 2, "b": 2})
    memory, symbols = str(tmp_path / "a.mem"), str(tmp_path / "symbols")
    build = ("memory", "build", memory, symbols, "--weights", "omniglot-45-5")
    assert "vma download weights omniglot-45-5" in shell.refused(*build)
    shell("download", "weights", "omniglot-45-5", "--from", str(CHECKOUT))
    shell(*build)
    assert shell.json("memory", "show", memory)["weights"] == "omniglot-45-5"
    assert len(shell.json("identify", memory, symbols)["results"]) == 4
    shell("memory", "remove", memory, "b")
    shell("memory", "add", memory, symbols)


def test_weights_that_cannot_be_had(shell: Shell, tmp_path: Path) -> None:
    assert "no address is known" in shell.refused("download", "weights", "omniglot-vae")
    assert "--offline forbids" in shell.refused("download", "weights", "--offline")
    for name in ("omniglot-best", "absent"):
        said = shell.refused("download", "weights", name)
        assert "in the package or unknown; choose from omniglot-45-5, omniglot-gmn-best" in said
    assert "absent" in shell.refused("download", "weights", "--from", str(tmp_path / "absent"))
    assert "give --from or --url" in shell.misused("download", "weights", "--from", "a", "--url", "b")


@pytest.mark.parametrize("arguments", [(), ("absent",), ("omniglot", "mnist"), ("glyphs", "omniglot-vae")])
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.misused("download", *arguments)
