"""What `import vmacore` gives, and what it leaves alone."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import vmacore
from tests import synthetic
from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory
from vmacore.runs.shipped import preferred_weights
from vmacore.runs.shipped import published as to_download
from vmacore.training.loop import train

ROOT = Path(vmacore.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, `small`."""
    folder = tmp_path_factory.mktemp("runs")
    config = synthetic.config(training={"steps": 2})
    train(RunDirectory.create(folder / "small", config), synthetic.dataset())
    return folder


@pytest.mark.parametrize("weights", ["averaged", "raw"])
def test_load(runs: Path, weights: str) -> None:
    model, config = vmacore.load("small", runs_dir=runs, weights=weights)
    assert config == RunDirectory.open(runs / "small").config
    assert model.config == config.model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    again, _ = vmacore.load(runs / "small", weights=weights)
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def test_averaged_weights_are_the_default(runs: Path) -> None:
    loaded = [vmacore.load("small", runs_dir=runs, **weights)[0] for weights in ({}, {"weights": "averaged"})]
    raw, _ = vmacore.load("small", runs_dir=runs, weights="raw")
    for default, averaged in zip(*(model.parameters() for model in loaded), strict=True):
        assert torch.equal(default, averaged)
    assert any(not torch.equal(*pair) for pair in zip(loaded[0].parameters(), raw.parameters(), strict=True))


def test_a_run_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="no run 'nothing'"):
        vmacore.load("nothing", runs_dir=tmp_path)


@pytest.mark.parametrize("module", ["vmacore", "vmacore.config"])
def test_light_modules_import_neither_torch_nor_scikit_learn(module: str) -> None:
    """So that the command line answers at once."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_classifier_is_imported_when_it_is_asked_for() -> None:
    from vmacore.evaluation.few_shot_classifier import FewShotClassifier

    assert vmacore.FewShotClassifier is FewShotClassifier
    with pytest.raises(AttributeError, match="has no attribute 'Absent'"):
        vmacore.Absent  # noqa: B018


def test_nothing_imports_the_compiler_of_torch_to_open_a_run() -> None:
    """It takes as long as all other imports together."""
    code = (
        "import sys; from vmacore.config import load_recipe, recipe_names; from vmacore.runs.weights import skeleton;"
        "[skeleton(load_recipe(name)) for name in recipe_names()]; sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_library_knows_nothing_of_the_command_line() -> None:
    modules = list(Path(vmacore.__file__).parent.rglob("*.py"))
    assert len(modules) > 20
    assert [path.name for path in modules if "vmacli" in path.read_text("utf-8")] == []


def test_the_library_prints_nothing(runs: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    train(RunDirectory.create(tmp_path / "quiet", synthetic.config(training={"steps": 2})), synthetic.dataset())
    vmacore.load("small", runs_dir=runs)
    assert capfd.readouterr() == ("", "")


# What a wheel holds; `make release` builds one and looks into it (tests/test_release.py).


def packed(package: str) -> set[Path]:
    """Files of a package that are no modules, and that a wheel takes along."""
    folder = ROOT / package
    patterns = PROJECT["tool"]["setuptools"]["package-data"][package]
    each = {pattern: {path for path in folder.glob(pattern) if path.is_file()} for pattern in patterns}
    assert all(each.values()), f"patterns of pyproject.toml that no file matches: {each}"
    return {path for paths in each.values() for path in paths}


@pytest.mark.parametrize("package", ["vmacore", "vmacli"])
def test_an_installed_package_lacks_nothing_but_weights_to_download(package: str) -> None:
    files = {path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    others = {path for path in files if path.suffix != ".py"}
    published = {path for name in to_download() for path in (ROOT / "vmacore" / "weights" / name).iterdir()}
    assert packed(package) == others - published
    assert ROOT / package / "py.typed" in others
    modules = {path.parent for path in files if path.suffix == ".py"}
    assert all((folder / "__init__.py").is_file() for folder in modules)  # else it would not be packed


def test_an_installed_package_is_small() -> None:
    weights = {path for path in packed("vmacore") if "weights" in path.parts}
    assert {path.parent.name for path in weights} == {"weights", "omniglot-best", "symbols"}
    assert sum(path.stat().st_size for path in weights) < 15e6


def test_what_the_commands_run_without_a_name_is_in_the_package() -> None:
    assert not set(preferred_weights()[:2]) & set(to_download())


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert vmacore.__version__ == version
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    heading = re.search(r"^## (\S+), (\S+)$", changes, re.M)
    assert heading is not None
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    assert heading[1] == version
    assert f"\nversion: {version}\ndate-released: {heading[2]}\n" in cited
