"""One file adds a network, a model, an estimator, a kind of episode or a data set, and nothing else is touched."""

from __future__ import annotations

import importlib
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import synthetic
from vmacore.addressing import Addressing
from vmacore.config import Config, DataConfig, ModelConfig
from vmacore.config.choosing import Wanted, configure
from vmacore.config.sections import KIND_SECTIONS
from vmacore.data import load_dataset
from vmacore.data.characters import Dataset
from vmacore.episodes import training_sampler
from vmacore.errors import VmaError
from vmacore.estimators import estimator_for
from vmacore.evaluation.likelihood import Score, score
from vmacore.models import create_model
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model
from vmacore.shelf import DATASETS, EPISODES, ESTIMATORS, MODELS, NETWORKS, Shelf
from vmacore.training.loop import prepare, train

CONFIG = Config(data=DataConfig(dataset="glyphs"))
PLUGINS = Path(__file__).parent / "plugins"
Add = Callable[[Shelf, str], None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Puts a file into a folder that a shelf looks into too, for as long as a test lasts."""
    added: list[str] = []

    def put(shelf: Shelf, name: str) -> None:
        folder = tmp_path / "plugins"
        folder.mkdir(exist_ok=True)
        shutil.copy(PLUGINS / f"{name}.py", folder)
        package = importlib.import_module(shelf.package)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()
        added.append(f"{shelf.package}.{name}")

    yield put
    for module in added:
        sys.modules.pop(module, None)


def _trained(folder: Path, config: Config, dataset: Dataset) -> tuple[Score, RunDirectory]:
    """20 steps, and the score of what they leave on the test split."""
    run = RunDirectory.create(folder / "run", prepare(config, dataset))
    summary = train(run, dataset, steps=20)
    assert summary.step == 20
    model = load_model(find_run(run.path, runs_dir=folder))
    return score(model, dataset.test, classes=2, shots=2, targets=2, samples=3, episodes=3), run


def _config(**sections: dict[str, Any]) -> Config:
    return synthetic.config(**{"training": {"steps": 20}, **sections})


@pytest.mark.parametrize("system", ["vma", "vae", "soft-attention"])
def test_networks(add: Add, tmp_path: Path, system: str) -> None:
    add(NETWORKS, "linear")
    found, _ = _trained(tmp_path, _config(model={"network": "linear", "system": system}), synthetic.dataset())
    assert 0 < found.nll < 64  # less than a bit a pixel costs, ln 2 of each of 64, and somewhat more


def _set(config: Config, *settings: str) -> Config:
    """The configuration with what `--set` says, as a run keeps it; the last setting is written to its config.toml."""
    changed = config.with_overrides(settings)
    key, value = settings[-1].partition(".")[2].split("=")
    assert f"{key} = {value}\n" in changed.to_toml()
    assert Config.from_toml(changed.to_toml()) == changed
    with pytest.raises(VmaError, match=f"{key} is of "):
        config.with_overrides(settings[-1:])
    return changed


def test_options_of_a_network(add: Add) -> None:
    add(NETWORKS, "linear")
    config = _set(_config(), "model.network=linear", "model.biased=false")
    assert create_model(config.model).key_network[1].bias is None  # type: ignore[index, union-attr]
    assert create_model(config.model.changed(biased=True)).key_network[1].bias is not None  # type: ignore[index, union-attr]


def test_a_model(add: Add, tmp_path: Path) -> None:
    add(MODELS, "flips")
    dataset = synthetic.dataset()
    found, run = _trained(tmp_path, _config(model={"system": "flips"}), dataset)
    # q(a|x) is exact and there is no z, so the bound is the likelihood however many samples there are.
    model = load_model(find_run(run.path, runs_dir=tmp_path))
    more = score(model, dataset.test, classes=2, shots=2, targets=2, samples=50, episodes=3)
    assert more.nll == pytest.approx(found.nll, rel=1e-5)


def test_options_of_a_model(add: Add) -> None:
    add(MODELS, "flips")
    config = _set(_config(), "model.system=flips", "model.flipped=0.125")
    assert create_model(config.model).logit.item() == pytest.approx(math.log(7))
    with pytest.raises(VmaError, match=r"model\.flipped: Input should be less than 0\.5"):
        config.with_overrides(["model.flipped=0.75"])


def test_an_estimator(add: Add, tmp_path: Path) -> None:
    add(ESTIMATORS, "uniform")
    found, run = _trained(tmp_path, _config(objective={"estimator": "uniform"}), synthetic.dataset())
    assert 0 < found.nll < 64
    assert RunDirectory.open(run.path).config.objective.estimator == "uniform"


def test_options_of_an_estimator(add: Add) -> None:
    add(ESTIMATORS, "uniform")
    config = _set(_config(), "objective.estimator=uniform", "objective.blind=0.5")
    sure = Addressing(torch.tensor([[0.0, -torch.inf]]), torch.tensor([0.5, 0.5]).log())
    drawn = estimator_for(config.objective.changed(samples=4000)).draw(sure, torch.Generator().manual_seed(0))
    assert float((drawn.address == 0).double().mean()) == pytest.approx(0.75, abs=0.03)


def test_a_kind_of_episode(add: Add, tmp_path: Path) -> None:
    add(EPISODES, "scattered")
    found, _ = _trained(tmp_path, _config(episode={"memory": "scattered"}), synthetic.dataset())
    assert 0 < found.nll < 64


def test_options_of_a_kind_of_episode(add: Add) -> None:
    add(EPISODES, "scattered")
    config = _set(_config(), "episode.memory=scattered", "episode.slots=5")
    assert len(training_sampler(config, synthetic.dataset().train, "cpu").at(0).memory) == 5
    with pytest.raises(VmaError, match=r"slots must be at least as many as classes: set episode\.slots"):
        config.with_overrides(["episode.slots=3"])


def test_two_kinds_that_read_a_key_agree_on_it(add: Add, tmp_path: Path) -> None:
    """They may share one; of another type or default it would be the one or the other's by chance."""
    add(NETWORKS, "linear")
    add(MODELS, "flips")
    assert set(ModelConfig(network="linear", system="flips").model_dump()) >= {"biased", "flipped"}
    file = tmp_path / "plugins" / "flips.py"
    text = file.read_text("utf-8").replace("flipped: float = Field(0.25, gt=0, lt=0.5)", "biased: bool = True")
    file.write_text(text)
    sys.modules.pop("vmacore.models.flips")
    assert ModelConfig(network="linear", system="flips", biased=False).model_dump()["biased"] is False
    file.write_text(text.replace("biased: bool = True", "biased: bool = False"))
    sys.modules.pop("vmacore.models.flips")
    with pytest.raises(TypeError, match="biased of linear has another type or default"):
        ModelConfig(network="linear", system="flips")


def test_a_data_set(add: Add, tmp_path: Path) -> None:
    add(DATASETS, "stripes")
    dataset = load_dataset("stripes")
    found, run = _trained(tmp_path, _config(episode={"classes": 2}), dataset)
    assert found.nll < 64
    assert run.config.data.protocol == "standard"
    with pytest.raises(VmaError, match="stripes has no protocol '45-5'"):
        load_dataset("stripes", protocol="45-5")
    # Without a recipe of its name `vma train --dataset stripes` takes the defaults.
    assert configure(Wanted(dataset="stripes")) == Config(data=DataConfig(dataset="stripes"))


@pytest.mark.parametrize("file", sorted(PLUGINS.glob("*.py")), ids=lambda file: file.stem)
def test_it_is_one_short_file(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) < 100


def test_what_is_not_there_is_named_with_what_is() -> None:
    for shelf in (DATASETS, EPISODES, ESTIMATORS, MODELS, NETWORKS):
        with pytest.raises(VmaError, match=f"there is no {shelf.what} 'absent'; choose one of {shelf.names()[0]}, "):
            shelf["absent"]
        assert "base" not in shelf.names()
        assert all(name in shelf for name in shelf)
    assert MODELS.names() == ("matching", "soft-attention", "vae", "vma")
    assert NETWORKS.names() == ("convolutional", "fully-connected", "residual")
    assert EPISODES.names() == ("few-shot", "none", "recall", "sequence")


def test_everything_on_a_shelf_can_be_taken_from_it() -> None:
    for shelf, member in ((DATASETS, "open_set"), (EPISODES, "make"), (ESTIMATORS, "make"), (MODELS, "MODEL")):
        for name in shelf:
            assert hasattr(shelf[name], member), name
    assert all(hasattr(NETWORKS[name], "Family") for name in NETWORKS)


def test_options_add_keys_to_their_section() -> None:
    for section in KIND_SECTIONS.values():
        for shelf in section.KINDS.values():
            for name in shelf:
                assert issubclass(getattr(shelf[name], "Options", section), section), name
