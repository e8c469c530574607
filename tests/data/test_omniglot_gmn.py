from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.drawings import ALPHABETS, write_files, zipped
from vmacore.data import load_dataset
from vmacore.data.sets import omniglot, omniglot_gmn
from vmacore.data.splits import EVALUATION, alphabet_of
from vmacore.errors import VmaError

Arrays = dict[str, np.ndarray]
FIRST = "images_background/Greek/character01"
LAST = "images_evaluation/Tengwar/character03"


def arrays(seed: int = 0) -> Arrays:
    """Name → [20, 784], named as in the published archives but in no order: three that test, two that train."""
    rng = np.random.default_rng(seed)
    names = [f"images_evaluation/Tengwar/character{n:02}" for n in (2, 3, 1)]
    names += [f"images_background/Greek/character{n:02}" for n in (2, 1)]
    return {name: np.where(rng.random((20, 784)) < 0.1, 0, 255).astype(np.uint8) for name in names}


def npz(content: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **content)  # type: ignore[arg-type]
    return file.getvalue()


def archives(content: Arrays) -> dict[str, bytes]:
    """The two files."""
    parts = {"train_small.npz": "images_background", "test_small.npz": "images_evaluation"}
    return {file: npz({n: a for n, a in content.items() if n.startswith(part)}) for file, part in parts.items()}


def refusal(source: Path, data_dir: Path) -> str:
    """The one line with which an import is refused; nothing may have been written."""
    with pytest.raises(VmaError) as error:
        omniglot_gmn.import_from(source, data_dir, ALPHABETS)
    assert "\n" not in str(error.value)
    assert not list(data_dir.rglob("*.*"))
    return str(error.value)


PACKINGS = {
    "as published": archives(arrays()),
    "in a folder": {f"gmn-master/data/{name}": content for name, content in archives(arrays()).items()},
    "zip": {"repository.zip": zipped({f"data/{name}": content for name, content in archives(arrays()).items()})},
    "one archive": {"both.npz": npz(arrays())},
    "twice": {f"{copy}/{name}": content for copy in "ab" for name, content in archives(arrays()).items()},
    "beside others": {**archives(arrays()), "binmnist_test.npz": npz({"arr_0": np.zeros(3)}), "notes.txt": b"npz"},
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_any_packing_gives_the_characters_in_order_with_ink_1(packing: str, tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", PACKINGS[packing])
    omniglot_gmn.import_from(source, tmp_path / "data", ALPHABETS)
    found = omniglot_gmn.read(tmp_path / "data", ALPHABETS)
    assert found.classes == omniglot.class_names(ALPHABETS)
    assert found.size == (28, 28)
    assert found.levels == 1
    published = {name.partition("/")[2]: content for name, content in arrays().items()}
    for label, name in enumerate(found.classes):
        ink = torch.from_numpy((published[name] == 0).reshape(20, 28, 28))
        assert torch.equal(found.select([label]).images.bool(), ink)


def test_a_file_may_be_given_itself(tmp_path: Path) -> None:
    source = write_files(tmp_path, PACKINGS["one archive"]) / "both.npz"
    omniglot_gmn.import_from(source, tmp_path / "data", ALPHABETS)
    assert omniglot_gmn.read(tmp_path / "data", ALPHABETS).n_classes == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({FIRST: None}, "Greek/character01 is missing"),
        ({FIRST: None, LAST: None}, "Greek/character01 is missing, with 1 more"),
        ({"images_background/Klingon/character01": arrays()[FIRST]}, "Omniglot has no character Klingon/character01"),
        ({FIRST: arrays()[FIRST][:19]}, r"character01.npy is uint8 [19, 784], not uint8 [20, 784]"),
        ({FIRST: arrays()[FIRST].reshape(20, 28, 28)}, "not uint8 [20, 784]"),
        ({FIRST: arrays()[FIRST] / 255}, "is float64 [20, 784], not uint8"),
        ({FIRST: arrays()[FIRST] // 255}, "has grey pixels"),
        ({FIRST: np.full((20, 784), 254, np.uint8)}, "has grey pixels"),
        ({FIRST: 255 - arrays()[FIRST]}, "has light ink on dark paper"),
        ({FIRST: np.array([{"an": "object"}])}, "is damaged"),
    ],
)
def test_bad_contents_are_refused(change: dict[str, np.ndarray | None], said: str, tmp_path: Path) -> None:
    content = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    assert said in refusal(write_files(tmp_path / "source", archives(content)), tmp_path / "data")


@pytest.mark.parametrize(("file", "n"), [("train_small.npz", 2), ("test_small.npz", 3)])
def test_one_file_alone_is_told_from_both(file: str, n: int, tmp_path: Path) -> None:
    some = {name: content for name, content in archives(arrays()).items() if name != file}
    source = write_files(tmp_path / "source", some)
    assert f"incomplete: {file} ({n} characters) is missing" in refusal(source, tmp_path / "data")


def test_what_holds_nothing_of_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no GMN Omniglot in" in refusal(tmp_path / "empty", tmp_path / "data")
    assert "there is no" in refusal(tmp_path / "nowhere", tmp_path / "data")
    other = write_files(tmp_path / "other", {"train_small.npz": npz({"arr_0": np.zeros(3)})})
    assert "no GMN Omniglot in" in refusal(other, tmp_path / "data")


def test_two_different_copies_are_refused(tmp_path: Path) -> None:
    copies = {f"{seed}/{name}": content for seed in (0, 1) for name, content in archives(arrays(seed)).items()}
    assert "holds two different Tengwar/character" in refusal(write_files(tmp_path / "s", copies), tmp_path / "data")


@pytest.mark.parametrize("length", [0, 10, 500, -100])
def test_a_truncated_archive_is_refused(length: int, tmp_path: Path) -> None:
    files = archives(arrays())
    files["train_small.npz"] = files["train_small.npz"][:length]
    said = refusal(write_files(tmp_path / "source", files), tmp_path / "data")
    assert "train_small.npz can't be read as a zip" in said


@pytest.mark.parametrize("length", [0, 8, 60, 1000, -1])
def test_a_truncated_array_is_refused(length: int, tmp_path: Path) -> None:
    files = {f"{name}.npy": _npy(array) for name, array in arrays().items()}
    files[f"{FIRST}.npy"] = files[f"{FIRST}.npy"][:length]
    source = write_files(tmp_path / "source", {"both.npz": zipped(files)})
    assert "character01.npy is damaged" in refusal(source, tmp_path / "data")


@pytest.mark.parametrize(
    ("old", "new"), [(b"'shape'", b"('shape"), (b"784", b"7e9"), (b"|u1", b"|O8"), (b"{", b"\x00")]
)
def test_a_damaged_header_is_refused(old: bytes, new: bytes, tmp_path: Path) -> None:
    files = {f"{name}.npy": _npy(array) for name, array in arrays().items()}
    files[f"{FIRST}.npy"] = files[f"{FIRST}.npy"].replace(old, new)
    source = write_files(tmp_path / "source", {"both.npz": zipped(files)})
    assert "character01.npy is damaged" in refusal(source, tmp_path / "data")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_failed_import_leaves_the_former_one(tmp_path: Path) -> None:
    omniglot_gmn.import_from(write_files(tmp_path / "good", archives(arrays())), tmp_path / "data", ALPHABETS)
    before = omniglot_gmn.read(tmp_path / "data", ALPHABETS)
    bad = write_files(tmp_path / "bad", archives({**arrays(seed=1), FIRST: arrays()[FIRST] // 255}))
    with pytest.raises(VmaError):
        omniglot_gmn.import_from(bad, tmp_path / "data", ALPHABETS)
    assert torch.equal(omniglot_gmn.read(tmp_path / "data", ALPHABETS).images, before.images)


def test_other_characters_than_omniglots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"run `vma download omniglot-gmn` \(or `--from PATH`\)"):
        omniglot_gmn.load(tmp_path)
    omniglot_gmn.import_from(write_files(tmp_path / "source", archives(arrays())), tmp_path, ALPHABETS)
    with pytest.raises(VmaError, match="its characters are not Omniglot's"):
        omniglot_gmn.load(tmp_path)


def test_real_gmn_omniglot(real_data: Path, tmp_path: Path) -> None:
    omniglot_gmn.import_from(real_data / "gmn", tmp_path)
    assert omniglot_gmn.describe(tmp_path) == "1623 characters, 32,460 drawings, 28×28, ink 0.0805"
    dataset = load_dataset("omniglot-gmn", data_dir=tmp_path)
    assert (dataset.name, dataset.protocol) == ("omniglot-gmn", "30-20")
    assert [dataset.split(name).n_classes for name in ("train", "validation", "test")] == [868, 96, 659]
    assert {alphabet_of(name) for name in dataset.test.classes} == set(EVALUATION)
    with zipfile.ZipFile(real_data / "gmn" / "test_small.npz") as archive:
        published = np.load(io.BytesIO(archive.read("images_evaluation/Kannada/character36.npy")))
    (label,) = [c for c, name in enumerate(dataset.test.classes) if name == "Kannada/character36"]
    assert np.array_equal(dataset.test.select([label]).images.numpy().reshape(20, 784), published == 0)


def test_real_drawings_are_those_of_omniglot(real_data: Path, real_omniglot: Path, tmp_path: Path) -> None:
    """Most drawings are nearest to one of the same character in the other preparation: upright, and under its name."""
    omniglot_gmn.import_from(real_data / "gmn", tmp_path)
    ours, other = omniglot_gmn.read(tmp_path), omniglot.read(real_omniglot)
    assert ours.classes == other.classes
    rows = torch.arange(0, 32_460, 331)
    small = torch.nn.functional.interpolate(other.images.float()[:, None], size=(28, 28), mode="area")
    known, asked = (images.flatten(1) - images.mean() for images in (small, ours.images[rows].float()))
    nearest = (asked @ torch.nn.functional.normalize(known).T).argmax(1)
    assert (other.labels[nearest] == ours.labels[rows]).float().mean() > 0.9
