from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import avg_pool2d, max_pool2d

from tests.data.drawings import ALPHABETS, drawing_files, part, png, write_files, zipped
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.data.sets import omniglot
from vmacore.data.splits import EVALUATION, PAPER_TEST, alphabet_of
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError

Files = dict[str, bytes]
FIRST = "images_background/Greek/character01/0001_01.png"


def imported(source: Path, data_dir: Path) -> Characters:
    omniglot.import_from(source, data_dir, ALPHABETS)
    return omniglot.read(data_dir, ALPHABETS)


def refusal(source: Path, data_dir: Path) -> str:
    """The one line with which an import is refused; nothing may have been written."""
    with pytest.raises(VmaError) as error:
        omniglot.import_from(source, data_dir, ALPHABETS)
    assert "\n" not in str(error.value)
    assert not list(data_dir.rglob("*.*"))
    return str(error.value)


def prepared(ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Ink [105, 105] → pixels [26, 26]."""
    return omniglot.inked(omniglot.quarters(ink)[None])[0]


def test_preparation_drops_the_last_row_and_column_and_pools() -> None:
    for row, column, pixel in (
        (0, 0, (0, 0)),
        (3, 4, (0, 1)),
        (103, 100, (25, 25)),
        (104, 5, None),
        (5, 104, None),
    ):
        ink = np.zeros((105, 105), dtype=bool)
        ink[row, column] = True
        assert np.argwhere(prepared(ink)).tolist() == ([list(pixel)] if pixel else [])


def test_preparation_is_max_pooling() -> None:
    ink = np.random.default_rng(0).random((105, 105)) < 0.03
    pooled = max_pool2d(torch.from_numpy(ink).float()[None, :104, :104], 4)[0]
    assert torch.equal(torch.from_numpy(prepared(ink)).float(), pooled)


def test_the_finer_view_counts_ink_in_quarters() -> None:
    ink = np.random.default_rng(0).random((105, 105)) < 0.2
    means = avg_pool2d(torch.from_numpy(ink).float()[None, :104, :104], 2)[0]
    assert torch.equal(torch.from_numpy(omniglot.quarters(ink)) / 4, means)


def as_tree(folder: Path, files: Files) -> Path:
    return write_files(folder, files)


def as_nested_tree(folder: Path, files: Files) -> Path:
    return write_files(folder, {f"omniglot-py/python/{path}": content for path, content in files.items()})


def as_tree_of_alphabets(folder: Path, files: Files) -> Path:
    return write_files(folder, {path.split("/", 1)[1]: content for path, content in files.items()})


def as_two_zips(folder: Path, files: Files) -> Path:
    names = ("images_background", "images_evaluation")
    return write_files(folder, {f"{name}.zip": zipped(part(files, name)) for name in names})


def as_one_zip(folder: Path, files: Files) -> Path:
    return write_files(folder, {"all.zip": zipped(files)}) / "all.zip"


def as_zip_of_zips(folder: Path, files: Files) -> Path:
    names = ("images_background", "images_evaluation")
    inside = {f"python/{name}.zip": zipped(part(files, name)) for name in names}
    return write_files(folder, {"repository.zip": zipped(inside)}) / "repository.zip"


def as_zip_in_another_order(folder: Path, files: Files) -> Path:
    return write_files(folder, {"z.ZIP": zipped(dict(reversed(files.items())))}) / "z.ZIP"


def as_zips_beside_their_own_extracts(folder: Path, files: Files) -> Path:
    return as_two_zips(as_tree(folder, files), files)


def as_zip_with_other_things(folder: Path, files: Files) -> Path:
    others = {
        "__MACOSX/images_background/Greek/character01/._0001_01.png": b"resource fork",
        "strokes_background/Greek/character01/0001_01.txt": b"START",
        "one-shot/run01/training/class01.png": b"no drawing of ours",
    }
    return as_one_zip(folder, {**others, **files})


@pytest.mark.parametrize(
    "packed",
    [
        as_nested_tree,
        as_tree_of_alphabets,
        as_two_zips,
        as_one_zip,
        as_zip_of_zips,
        as_zip_in_another_order,
        as_zips_beside_their_own_extracts,
        as_zip_with_other_things,
    ],
)
def test_any_packing_gives_the_same_characters(packed: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    files = drawing_files()
    expected = imported(as_tree(tmp_path / "tree", files), tmp_path / "expected")
    found = imported(packed(tmp_path / "source", files), tmp_path / "data")
    assert torch.equal(found.images, expected.images)
    assert found.classes == expected.classes


def test_characters_are_sorted_and_each_image_is_its_file(tmp_path: Path) -> None:
    files = drawing_files()
    characters = imported(as_one_zip(tmp_path, files), tmp_path / "data")
    assert characters.classes == (
        "Greek/character01",
        "Greek/character02",
        "Tengwar/character01",
        "Tengwar/character02",
        "Tengwar/character03",
    )
    assert characters.counts.tolist() == [20] * 5
    for image, path in zip(characters.images, sorted(files), strict=True):
        ink = np.asarray(Image.open(io.BytesIO(files[path]))) == 0
        assert np.array_equal(image.numpy(), prepared(ink))


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_png_modes_mean_the_same(mode: str, tmp_path: Path) -> None:
    files = drawing_files()
    ink = np.asarray(Image.open(io.BytesIO(files[FIRST]))) == 0
    other = imported(as_one_zip(tmp_path / "other", {**files, FIRST: png(ink, mode)}), tmp_path / "a")
    assert torch.equal(other.images, imported(as_one_zip(tmp_path, files), tmp_path / "b").images)


def test_one_zip_alone_is_told_from_both(tmp_path: Path) -> None:
    source = as_one_zip(tmp_path / "source", part(drawing_files(), "images_background"))
    assert "images_evaluation (3 characters) is missing" in refusal(source, tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({FIRST: None}, "Greek/character01 has 19 of 20 drawings;"),
        ({FIRST: None, FIRST.replace("Greek/character01", "Greek/character02"): b""}, "is damaged"),
        ({FIRST.replace("_01", "_21"): png(np.zeros((105, 105)))}, "Greek/character01 has 21 of 20 drawings"),
        (
            {FIRST.replace("Greek", "Klingon"): png(np.zeros((105, 105)))},
            "it has no character Klingon/character01",
        ),
        ({FIRST: png(np.zeros((28, 28)))}, "is 28×28 pixels, not Omniglot's 105×105"),
        ({FIRST: png(np.ones((105, 105)))}, "has light ink on dark paper"),
        ({FIRST: drawing_files()[FIRST][:60]}, "0001_01.png is damaged"),
        (
            {"copy/" + FIRST: drawing_files(seed=1)[FIRST]},
            "two different drawings Greek/character01/0001_01.png",
        ),
    ],
)
def test_bad_contents_are_refused(change: dict[str, bytes | None], said: str, tmp_path: Path) -> None:
    files = {path: content for path, content in {**drawing_files(), **change}.items() if content is not None}
    for pack in (as_tree, as_one_zip):
        assert said in refusal(pack(tmp_path / pack.__name__, files), tmp_path / "data")


def test_what_holds_no_omniglot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no Omniglot in" in refusal(tmp_path / "empty", tmp_path / "data")
    assert "there is no" in refusal(tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "notes.txt").write_text("hello")
    assert "no Omniglot in" in refusal(tmp_path / "notes.txt", tmp_path / "data")


def test_a_broken_zip_is_refused(tmp_path: Path) -> None:
    whole = zipped(drawing_files())
    for name, content in {"cut": whole[:-1000], "text": b"not a zip"}.items():
        source = write_files(tmp_path / name, {"images_background.zip": content})
        assert "can't be read as a zip" in refusal(source, tmp_path / "data")
    damaged = bytearray(whole)
    damaged[200:230] = bytes(30)  # inside the first member's content
    source = write_files(tmp_path / "damaged", {"all.zip": bytes(damaged)})
    assert "can't be unpacked" in refusal(source, tmp_path / "data")


def test_a_failed_import_leaves_the_former_one(tmp_path: Path) -> None:
    before = imported(as_one_zip(tmp_path / "good", drawing_files()), tmp_path / "data")
    with pytest.raises(VmaError):
        imported(as_one_zip(tmp_path / "bad", {**drawing_files(seed=1), FIRST: b""}), tmp_path / "data")
    assert torch.equal(omniglot.read(tmp_path / "data", ALPHABETS).images, before.images)


def test_other_characters_than_omniglots_are_refused(tmp_path: Path) -> None:
    imported(as_one_zip(tmp_path, drawing_files()), tmp_path)
    with pytest.raises(VmaError, match="its characters are not Omniglot's"):
        omniglot.load(tmp_path)


def test_missing_data_and_protocols_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"run `vma download omniglot` \(or `--from PATH`\)"):
        omniglot.load(tmp_path)
    with pytest.raises(VmaError, match="choose one of 45-5, 30-20"):
        omniglot.load(tmp_path, "40-10")


def test_the_table_of_alphabets_is_the_published_one() -> None:
    counts = dict.fromkeys((True, False), 0)
    for name, count in omniglot.ALPHABETS.items():
        counts[name in EVALUATION] += count
    assert counts == {False: 964, True: 659}
    assert len(omniglot.ALPHABETS) == 50
    assert [omniglot.ALPHABETS[name] for name in PAPER_TEST] == [28, 23, 25, 42, 26]


def test_real_omniglot_is_whole(real_omniglot: Path) -> None:
    characters = omniglot.read(real_omniglot)
    assert characters.images.shape == (32_460, 26, 26)
    assert characters.n_classes == 1623
    assert omniglot.describe(real_omniglot) == "1623 characters, 32,460 drawings, 26×26, ink 0.1378"
    assert (real_omniglot / omniglot.PREPARED).stat().st_size < 900_000


def test_the_real_finer_view_is_of_the_same_drawings(real_omniglot: Path) -> None:
    pixels, finer = omniglot.read(real_omniglot), omniglot.read_finer(real_omniglot)
    assert (finer.view, finer.levels, finer.classes) == ("finer", 4, pixels.classes)
    for rows in torch.arange(len(pixels.images)).split(5000):
        assert torch.equal(pixels_of(finer.images[rows, None].float() / 4)[:, 0].byte(), pixels.images[rows])
    assert (real_omniglot / omniglot.FINER).stat().st_size < 4_500_000


def test_a_finer_view_has_to_be_prepared(tmp_path: Path) -> None:
    imported(as_tree(tmp_path / "tree", drawing_files()), tmp_path / "data")
    assert omniglot.read_finer(tmp_path / "data", ALPHABETS).size == (26, 26)
    (tmp_path / "data" / omniglot.FINER).unlink()
    with pytest.raises(VmaError, match="without its finer view: run `vma download omniglot`"):
        omniglot.read_finer(tmp_path / "data", ALPHABETS)


def test_real_ink(real_omniglot: Path) -> None:
    characters = omniglot.read(real_omniglot)
    test = torch.tensor([alphabet_of(name) in PAPER_TEST for name in characters.classes])[characters.labels]
    ink = characters.images.float()
    assert round(float(ink.mean()), 4) == 0.1378
    assert round(float(ink[test].mean()), 4) == 0.1259
    assert round(float(ink[~test].mean()), 4) == 0.1389


@pytest.mark.parametrize(("protocol", "sizes"), [("45-5", (1331, 148, 144)), ("30-20", (868, 96, 659))])
def test_real_splits(protocol: str, sizes: tuple[int, ...], real_omniglot: Path) -> None:
    dataset = load_dataset("omniglot", protocol=protocol, data_dir=real_omniglot)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert tuple(split.n_classes for split in splits) == sizes
    assert len(set().union(*(split.classes for split in splits))) == 1623
    assert all(bool((split.counts == 20).all()) for split in splits)
    assert (dataset.name, dataset.protocol) == ("omniglot", protocol)
