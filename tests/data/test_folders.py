"""A folder of pictures as a data set: what counts as a class, splits, views, and files that can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.data.pictures import drawing, save_classes
from vmacore.data import load_dataset
from vmacore.data.folders import FolderDataset, files_below, in_utf8, read_folder
from vmacore.data.pictures import LEVELS, Preparation
from vmacore.data.splits import validation_classes
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError
from vmacore.shelf import is_folder


def test_classes_of_any_size(tmp_path: Path) -> None:
    save_classes(tmp_path, {"b": 3, "a": 1, "c": 2})
    found = read_folder(tmp_path, Preparation())
    characters = found.characters
    assert (characters.classes, characters.counts.tolist()) == (("a", "b", "c"), [1, 3, 2])
    assert (characters.finer, characters.levels, characters.size) == (True, LEVELS, (26, 26))
    assert characters.files[1:3] == (str(tmp_path / "b" / "0.png"), str(tmp_path / "b" / "1.png"))
    assert torch.equal(characters.images[4], torch.from_numpy(Preparation().read(tmp_path / "c" / "0.png")))
    assert characters.select([2, 0]).files == (*characters.files[4:], characters.files[0])
    assert characters.drawing(2) == str(tmp_path / "b" / "1.png")
    assert characters.with_at_least(2).classes == ("b", "c")
    assert found.left_out == ()


def test_litter_and_empty_folders_are_passed_over(tmp_path: Path) -> None:
    save_classes(tmp_path, {"a": 2, "x/y": 1, "x/z": 1, "[1] ünï 日本": 1, ".ipynb_checkpoints": 1, "__MACOSX/a": 1})
    (tmp_path / "empty" / "below").mkdir(parents=True)
    for litter in (".DS_Store", "labels.csv", "a/._0.png", "a/Thumbs.db", "a/desktop.ini"):
        (tmp_path / litter).write_bytes(b"litter")
    found = read_folder(tmp_path, Preparation())
    assert found.characters.classes == ("[1] ünï 日本", "a", "x/y", "x/z")
    assert found.left_out == ()
    assert [path.name for path in files_below(tmp_path)] == ["labels.csv", "0.png", "0.png", "1.png", "0.png", "0.png"]


def test_a_folder_with_pictures_and_folders_is_a_class_beside_them(tmp_path: Path) -> None:
    save_classes(tmp_path, {"a": 1, "a/b": 2})
    (tmp_path / "a" / "above").symlink_to(tmp_path, target_is_directory=True)
    assert read_folder(tmp_path, Preparation()).characters.classes == ("a", "a/b")


def test_what_cannot_be_used_is_left_out_by_name(tmp_path: Path) -> None:
    save_classes(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "a" / "0.png").write_bytes(b"text")
    (tmp_path / "b" / "0.png").write_bytes(b"")
    found = read_folder(tmp_path, Preparation())
    assert found.characters.classes == ("a",)
    assert [line.partition(" can't be used: ")[0] for line in found.left_out] == [
        str(tmp_path / name / "0.png") for name in ("a", "b")
    ]
    dataset = load_dataset(str(tmp_path))
    assert isinstance(dataset, FolderDataset)
    assert dataset.left_out == found.left_out


def test_folders_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="absent is no folder: give a folder with a folder of pictures for each class"):
        read_folder(tmp_path / "absent", Preparation())
    with pytest.raises(VmaError, match="holds no picture of a class: give"):
        read_folder(tmp_path, Preparation())
    drawing().save(tmp_path / "flat.png")
    with pytest.raises(VmaError, match="holds no picture of a class: give"):
        read_folder(tmp_path, Preparation())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"text")
    with pytest.raises(VmaError, match=r"holds no picture of a class \(.*0\.png can't be used"):
        read_folder(tmp_path, Preparation())


def test_both_views_and_frames(tmp_path: Path) -> None:
    save_classes(tmp_path, {"a": 2, "b": 2})
    pixels, finer = (load_dataset(str(tmp_path), view=view, size=(20, 20)).test for view in ("pixels", "finer"))
    assert (pixels.images.shape, pixels.levels, pixels.view) == ((4, 20, 20), 1, "pixels")
    assert (finer.images.shape, finer.levels, finer.view) == ((4, 40, 40), LEVELS, "finer")
    assert torch.equal(pixels_of(finer.images[:, None].float() / LEVELS)[:, 0].byte(), pixels.images)
    assert torch.equal(finer.in_pixels().images, pixels.images)
    assert pixels.files == finer.files
    ink, image = (load_dataset(str(tmp_path), protocol=frame) for frame in ("ink", "image"))
    assert torch.equal(ink.test.images, load_dataset(str(tmp_path)).test.images)
    assert not torch.equal(ink.test.images, image.test.images)
    assert (ink.protocol, image.protocol, ink.name) == ("ink", "image", str(tmp_path))
    with pytest.raises(VmaError, match="has no protocol '45-5'; choose one of ink, image"):
        load_dataset(str(tmp_path), protocol="45-5")


def test_a_tenth_of_the_classes_validates_and_all_test(tmp_path: Path) -> None:
    save_classes(tmp_path, {f"class{number:02}": 1 + (number < 15) for number in range(20)})
    dataset = load_dataset(str(tmp_path))
    chosen = [dataset.test.classes[c] for c in validation_classes(dataset.test.classes[:15])]
    assert len(chosen) == 2
    assert list(dataset.validation.classes) == chosen
    assert set(dataset.train.classes) == set(dataset.test.classes) - set(chosen)
    assert dataset.test.n_classes == 20


def test_the_classes_that_validate_can_be_named(tmp_path: Path) -> None:
    save_classes(tmp_path, {f"class{number:02}": 2 for number in range(20)})
    first = load_dataset(str(tmp_path))
    save_classes(tmp_path, {"a_new": 2, "b_new": 2})
    assert load_dataset(str(tmp_path)).validation.classes != first.validation.classes
    again = load_dataset(str(tmp_path), validation=in_utf8(first.validation.classes))
    assert again.validation.classes == first.validation.classes
    assert set(again.train.classes) == set(first.train.classes) | {"a_new", "b_new"}
    assert load_dataset(str(tmp_path), validation=["gone", "a_new"]).validation.classes == ("a_new",)
    assert in_utf8(["a\udcff"]) == ("a\\udcff",)
    with pytest.raises(VmaError, match=r"glyphs has validation classes of its own: leave data\.validation out"):
        load_dataset("glyphs", validation=["a"])


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    save_classes(tmp_path / "train", {f"class{number:02}": 2 for number in range(20)})
    save_classes(tmp_path / "test", {"class00": 2, "other": 1})
    dataset = load_dataset(str(tmp_path))
    assert (dataset.train.n_classes, dataset.validation.n_classes) == (18, 2)
    assert dataset.test.classes == ("class00", "other")
    save_classes(tmp_path / "validation", {"new": 1})
    dataset = load_dataset(str(tmp_path))
    assert (dataset.train.n_classes, dataset.validation.classes) == (20, ("new",))
    save_classes(tmp_path / "another", {"a": 1})
    assert load_dataset(str(tmp_path)).test.classes[:1] == ("another/a",)


def test_what_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_classes(tmp_path, {"mine/a": 1, "glyphs/a": 1})
    assert [is_folder(name) for name in ("mine", "./absent", "absent")] == [True, True, False]
    assert [is_folder(name) for name in ("glyphs", "./glyphs")] == [False, True]
    assert load_dataset("mine").test.classes == ("a",)
    assert load_dataset("./glyphs").test.classes == ("a",)
    with pytest.raises(VmaError, match="there is no data set 'absent'"):
        load_dataset("absent")


def test_real_layout(real_data: Path) -> None:
    dataset = load_dataset(str(real_data / "own" / "tricky" / "layout"))
    assert dict(zip(dataset.test.classes, dataset.test.counts.tolist(), strict=True)) == {
        "Greek_U+03B1": 3, "Greek_U+03B2": 3, "[brackets]": 1, "copy of alpha": 1, "nested/deeper": 1, "single": 1,
        "ünï çlass 日本": 2,
    }  # fmt: skip
    bad = load_dataset(str(real_data / "own" / "tricky" / "bad"))
    assert isinstance(bad, FolderDataset)
    assert [Path(file).name for file in bad.test.files] == ["good.png"]
    assert len(bad.left_out) == 9
