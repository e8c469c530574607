"""The files of a release, tried where nothing else is: `make release` builds them and names their folder, VMA_DIST."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vmacore
from tests.docs.commands import ROOT
from vmacore.runs.shipped import published

PICTURES = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "quick-start.md").read_text("utf-8"), re.S)


@pytest.fixture(scope="module")
def dist() -> Path:
    """The folder that VMA_DIST names."""
    if not (named := os.environ.get("VMA_DIST")):
        pytest.skip("VMA_DIST does not name a folder with the files of a release (make release)")
    return Path(named).resolve()


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"vma-{vmacore.__version__}-py3-none-any.whl"


@dataclass(frozen=True)
class Installed:
    """The wheel in an environment of its own, and an empty folder to work in."""

    environment: Path
    folder: Path

    def __call__(self, program: str, *arguments: str) -> str:
        """What a program of the environment prints; anything on stderr that warns is a failure."""
        environment = {"HOME": str(self.folder / "home"), "PATH": os.defpath, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        command = [str(self.environment / "bin" / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr.lower()
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, str(wheel)], check=True, cwd=folder, env=elsewhere)
    (folder / "work" / "home").mkdir(parents=True)
    yield Installed(folder / "venv", folder / "work")
    shutil.rmtree(folder / "venv")  # gigabytes, which pytest would keep


def test_a_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = [Path(name) for name in archive.namelist() if not name.endswith("/")]
    assert {file.parts[0] for file in files} == {"vmacore", "vmacli", f"vma-{vmacore.__version__}.dist-info"}
    held = {file for file in files if "dist-info" not in file.parts[0]}
    checkout = {path.relative_to(ROOT) for package in ("vmacore", "vmacli") for path in (ROOT / package).rglob("*")}
    expected = {path for path in checkout if (ROOT / path).is_file() and "__pycache__" not in path.parts}
    assert held == {path for path in expected if not published().keys() & set(path.parts)}
    assert wheel.stat().st_size < 12.5e6


def test_from_shipped_weights_to_labels_and_drawings(installed: Installed) -> None:
    assert PICTURES is not None
    assert installed("vma", "--version") == f"vma {vmacore.__version__}\n"
    where = installed("python", "-c", "import vmacore; print(vmacore.__file__)")
    assert installed.environment in Path(where).parents
    installed("python", "-c", PICTURES[1])
    classified = json.loads(
        installed("vma", "classify", "--dataset", "symbols", "--way", "5", "--episodes", "10", "--json")
    )
    assert classified["run"] == "omniglot-best"
    assert classified["results"][0]["accuracy"] > 0.9
    assert json.loads(installed("vma", "classify", "symbols", "--dataset", "./symbols", "--json"))["run"] == "symbols"
    installed("vma", "memory", "build", "symbols.mem", "symbols")
    answered = installed("vma", "identify", "symbols.mem", "new", "--csv", "labels.csv")
    assert "character01" in answered
    with (installed.folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        assert [row["label"] for row in csv.DictReader(lines)] == [f"character{number:02}" for number in (1, 2, 3)]
    installed("vma", "sample", "--memory-from", "symbols.mem", "--classes", "5", "--out", "variants.png")
    assert (installed.folder / "variants.png").stat().st_size > 1000
    assert not list((installed.folder / "home").iterdir())


def test_published_weights_reach_an_installed_package(installed: Installed, dist: Path) -> None:
    assert json.loads(installed("vma", "info", "--json"))["absent_weights"] == list(published())
    installed("vma", "download", "weights", "--from", str(dist / "weights"), "--offline")
    assert json.loads(installed("vma", "info", "--json"))["absent_weights"] == []
    installed("vma", "sample", "omniglot-45-5", "--memory-from", "./symbols", "--classes", "3", "--out", "more.png")
