from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from vmacore.data import DATASETS, load_dataset
from vmacore.data.download import REMOTES
from vmacore.data.sets import glyphs
from vmacore.errors import VmaError


def test_an_unknown_name_or_protocol_lists_the_choices() -> None:
    with pytest.raises(VmaError, match=f"there is no data set 'cifar'; choose one of {', '.join(DATASETS)}"):
        load_dataset("cifar")
    with pytest.raises(VmaError, match="omniglot has no protocol '50-0'; choose one of 45-5, 30-20"):
        load_dataset("omniglot", protocol="50-0")
    with pytest.raises(VmaError, match="omniglot-gmn has no protocol '45-5'; choose one of 30-20"):
        load_dataset("omniglot-gmn", protocol="45-5")


@pytest.mark.parametrize("name", REMOTES)
def test_nothing_is_fetched_or_made_by_loading(name: str, tmp_path: Path) -> None:
    for offline in (False, True):
        with pytest.raises(VmaError, match=f"run `vma download {name}`"):
            load_dataset(name, data_dir=tmp_path, offline=offline)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def few_glyphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Glyphs of fewer alphabets, made in less time."""
    monkeypatch.setattr(glyphs, "load", partial(glyphs.load, train=2, validation=1, test=1))


@pytest.mark.usefixtures("few_glyphs")
@pytest.mark.parametrize("name", ["glyphs", "digits"])
def test_built_in_data_need_no_folder(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(name, data_dir=tmp_path / "absent")
    assert (dataset.name, dataset.protocol) == (name, DATASETS[name].PROTOCOLS[0])


@pytest.mark.usefixtures("few_glyphs")
def test_the_seed_reaches_the_glyphs() -> None:
    first, again, other = (load_dataset("glyphs", seed=seed).test.images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_grey_levels_become_binary_once_where_asked() -> None:
    resampled, fixed, other = (
        load_dataset("digits", **how) for how in ({}, {"binarise": "fixed"}, {"binarise": "fixed", "seed": 1})
    )
    for split in ("train", "validation"):
        assert resampled.split(split).levels > 1
        assert fixed.split(split).levels == 1
        assert torch.equal(fixed.split(split).images, resampled.split(split).binarised(0).images)
    assert not torch.equal(fixed.train.images, other.train.images)
    assert "fixed by seed 0" in fixed.binarisation
    assert "resampled" in resampled.binarisation
    assert "resampled" not in fixed.binarisation


@pytest.mark.parametrize(("named", "folder"), [("elsewhere", "elsewhere"), ("", "data"), (None, "data")])
def test_the_folder_is_the_one_that_the_environment_names(
    named: str | None, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if named is not None:
        monkeypatch.setenv("VMA_DATA", named)
    with pytest.raises(VmaError, match=f"Omniglot is not in {folder}:"):
        load_dataset("omniglot")
    with pytest.raises(VmaError, match="Omniglot is not in mine:"):  # what is said outright goes first
        load_dataset("omniglot", data_dir=Path("mine"))
