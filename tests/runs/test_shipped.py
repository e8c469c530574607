"""Where weights lie that belong to vma: in the package, else in the data folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import vmacore
from vmacore.data import load_dataset
from vmacore.errors import VmaError
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.runs.finding import find_run
from vmacore.runs.shipped import absent_weights, preferred_weights, published, shipped_weights

CHECKOUT = Path(vmacore.__file__).parent / "weights"


def bring(name: str, data_dir: Path, under: str = "") -> Path:
    """Weights as a download leaves them."""
    return Path(shutil.copytree(CHECKOUT / name, data_dir / "weights" / (under or name)))


def test_a_checkout_holds_all_of_them() -> None:
    assert set(shipped_weights()) == {folder.name for folder in CHECKOUT.iterdir() if folder.is_dir()}
    assert absent_weights() == {}


def test_an_installed_package_and_the_data_folder(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(shipped_weights(tmp_path)) == ["omniglot-best", "symbols"]
    assert absent_weights(tmp_path) == published()
    for name in ("omniglot-vae", "omniglot-best"):
        bring(name, tmp_path)
    bring("omniglot-vae", tmp_path, under="found-in-a-folder")  # which is no reason to trust it
    (tmp_path / "weights" / "omniglot-45-5").mkdir()
    expected = {
        "omniglot-best": installed / "omniglot-best",
        "omniglot-vae": tmp_path / "weights" / "omniglot-vae",
        "symbols": installed / "symbols",
    }
    assert shipped_weights(tmp_path) == expected
    assert set(absent_weights(tmp_path)) == set(published()) - {"omniglot-vae"}
    assert preferred_weights(tmp_path) == ["symbols", "omniglot-best", "omniglot-vae"]
    monkeypatch.setenv("VMA_DATA", str(tmp_path))
    assert shipped_weights() == expected
    model, config = vmacore.load("omniglot-vae", data_dir=tmp_path)
    assert (config.recipe, model.config) == ("omniglot-vae", config.model)


@pytest.mark.usefixtures("installed")
def test_weights_that_are_not_here_are_told_with_the_command_that_gets_them(tmp_path: Path) -> None:
    folders = {"runs_dir": tmp_path / "runs", "data_dir": tmp_path / "data"}
    with pytest.raises(
        VmaError, match=r"omniglot-vae are not installed: get them \(vma download weights omniglot-vae\)"
    ):
        find_run("omniglot-vae", **folders)
    with pytest.raises(VmaError, match=r"train one .*, or get weights \(vma download weights omniglot-gmn-best\)"):
        find_run(None, dataset="omniglot-gmn", **folders)
    with pytest.raises(VmaError, match=r"known: omniglot-best, symbols$"):
        find_run("absent", **folders)
    bring("omniglot-gmn-best", tmp_path / "data")
    assert find_run(None, dataset="omniglot-gmn", **folders).run == "omniglot-gmn-best"


@pytest.mark.usefixtures("installed")
def test_an_experiment_tells_which_weights_may_spare_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = replace(load_dataset("glyphs"), name="omniglot", protocol="45-5")
    lab = Lab(data_dir=tmp_path, runs_dir=tmp_path / "runs", out=tmp_path / "out", training=False)
    monkeypatch.setattr(lab, "dataset", lambda config: data)
    caplog.set_level("INFO", logger="vmacore")
    (trained,) = lab.trained(Plan("omniglot-vae"))
    assert trained.model is None
    assert "weights omniglot-vae may spare a training: vma download weights omniglot-vae" in caplog.messages
    bring("omniglot-vae", tmp_path)
    caplog.clear()
    (trained,) = lab.trained(Plan("omniglot-vae"))
    assert trained.step == 65_000
    assert not any("spare" in message for message in caplog.messages)
