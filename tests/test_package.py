"""What `import vmacore` gives, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest
import torch

import vmacore
from tests import synthetic
from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory
from vmacore.training.loop import train


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


@pytest.mark.parametrize("package", ["vmacore", "vmacli"])
def test_type_checkers_find_the_types_of_an_installed_package(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()
    project = tomllib.loads((Path(vmacore.__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"][package]


def test_an_installed_package_holds_the_templates_of_pages() -> None:
    root = Path(vmacore.__file__).parent
    project = tomllib.loads((root.parent / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["vmacore"]
    packed = {path for pattern in patterns for path in root.glob(pattern)}
    templates = set((root / "reports" / "templates").iterdir())
    assert len(templates) > 3
    assert templates <= packed
