"""A run opened with other pictures than its own, and weights that read them; commands test the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.data.pictures import save_classes
from vmacore.data import load_dataset
from vmacore.data.folders import read_folder
from vmacore.errors import VmaError
from vmacore.evaluation.classification import classify
from vmacore.runs.finding import find_run
from vmacore.runs.opening import open_run, open_run_on_memory
from vmacore.runs.reader import open_memory_with_reader, open_reader
from vmacore.runs.shipped import preferred_weights, shipped_weights


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures below the current one."""
    save_classes(tmp_path / "symbols", {"a": 2, "b": 2, "c": 1})
    monkeypatch.chdir(tmp_path)
    return Path("symbols")


def test_a_folder_by_its_path(folder: Path) -> None:
    told: list[str] = []
    (folder / "a" / "broken.png").touch()
    opened = open_run("omniglot-45-5", dataset="symbols", frame="image", runs_dir=Path("runs"), tell=told.append)
    assert opened.dataset.name == str(folder.resolve())
    assert opened.dataset.protocol == "image"
    assert opened.characters("test").classes == ("a", "b", "c")
    assert told[0].startswith("shipped omniglot-45-5, step ")
    assert "left out: " in told[1]
    assert "broken.png" in told[1]
    with pytest.raises(VmaError, match="give --frame with a folder"):
        open_run("omniglot-45-5", frame="ink")


def test_another_data_set_by_its_name() -> None:
    told: list[str] = []
    opened = open_run("omniglot-best", dataset="glyphs", tell=told.append)
    glyphs = load_dataset("glyphs", view="finer")
    assert opened.dataset.name == "glyphs"
    assert torch.equal(opened.characters("test").images, glyphs.test.images)
    assert told[1] == "omniglot-best was trained on omniglot; here it reads glyphs"
    found = classify(opened.model, opened.characters("test"), way=20, shot=1, episodes=4)
    assert found.accuracy > 0.95  # a new pixel or a grey of another meaning would cost it dear
    with pytest.raises(VmaError, match="glyphs is prepared as it is"):
        open_run("omniglot-best", dataset="glyphs", frame="image")


@pytest.mark.parametrize(
    ("run", "dataset", "words"),
    [
        ("omniglot-best", "omniglot-oneshot", "in common with omniglot-oneshot: leave out --dataset"),
        ("omniglot-gmn-best", "omniglot-burda", "in common with omniglot-burda"),
        ("symbols", "shapes", "symbols was trained on all-symbols, which has drawings in common with shapes"),
        ("omniglot-best", "digits", "digits has no finer view, which this model reads: .* glyphs, omniglot"),
        ("omniglot-vae", "digits", "trained on images of 26×26, but digits here is 8×8"),
        ("omniglot-vae", "cifar", "there is no data set 'cifar'"),
    ],
)
def test_a_data_set_that_a_run_cannot_be_measured_on(run: str, dataset: str, words: str) -> None:
    with pytest.raises(VmaError, match=words):
        open_run(run, dataset=dataset, addresses_suffice=True)


def test_shipped_weights_are_preferred_in_one_order(folder: Path) -> None:
    assert sorted(preferred_weights()) == sorted(shipped_weights())
    assert open_run(dataset="symbols").location.run == preferred_weights()[0]
    assert open_reader().run == preferred_weights()[0] == "symbols"
    # What is asked of a data set is not asked of those that have seen all of it.
    assert find_run(None, runs_dir=Path("runs")).run == preferred_weights()[1] == "omniglot-best"


def test_a_memory_takes_the_place_of_data(folder: Path) -> None:
    reader = open_reader("omniglot-45-5")
    preparation = reader.preparation()
    assert preparation.frame == "ink"
    memory = reader.read(read_folder(folder, preparation).characters, preparation).calibrated(reader.model)
    memory.save(Path("m.mem"))
    opened = open_run_on_memory(Path("m.mem"), classes=["b"])
    assert (opened.location.run, opened.characters("test").classes) == ("omniglot-45-5", ("b",))
    same, by = open_memory_with_reader(Path("m.mem"))
    assert (same.files, by.run) == (memory.files, "omniglot-45-5")
    with pytest.raises(VmaError, match="other weights"):
        open_memory_with_reader(Path("m.mem"), preferred_weights()[0])
