from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from tests.data.drawings import write_files, zipped
from vmacore.data import matlab
from vmacore.data.sets import omniglot_burda as burda
from vmacore.data.sets.omniglot_burda import Sizes
from vmacore.errors import VmaError

SIZES = Sizes(train=60, validation=7, test=20)


def matrices(seed: int = 0) -> dict[str, Any]:
    """The variables of the file: drawings as columns, the first value of which tells the place in the file."""
    rng = np.random.default_rng(seed)
    content: dict[str, Any] = {}
    for prefix, n in (("", SIZES.train), ("test", SIZES.test)):
        data = np.where(rng.random((784, n)) < 0.2, rng.random((784, n)), 0.0)
        data[0] = np.arange(n) / 255
        content[f"{prefix}data"] = data
        content[f"{prefix}target"] = np.eye(50)[rng.integers(0, 3, n)].T
        content[f"{prefix}targetchar"] = rng.integers(1, 5, (1, n)).astype(np.float64)
    return content


def mat(content: dict[str, Any], *, compressed: bool = True) -> bytes:
    file = io.BytesIO()
    savemat(file, content, do_compression=compressed)
    return file.getvalue()


FILES = {"chardata.mat": mat(matrices())}


def imported(source: Path, data_dir: Path) -> Any:
    burda.import_from(source, data_dir, SIZES)
    return burda.load(data_dir, SIZES)


def refusal(source: Path, data_dir: Path) -> str:
    """The one line with which an import is refused; nothing may have been written."""
    with pytest.raises(VmaError) as error:
        burda.import_from(source, data_dir, SIZES)
    assert "\n" not in str(error.value)
    assert not list(data_dir.rglob("*.*"))
    return str(error.value)


def refused(content: bytes, folder: Path) -> str:
    return refusal(write_files(folder / "source", {"chardata.mat": content}), folder / "data")


@pytest.mark.parametrize(
    "files",
    [
        FILES,
        {f"iwae/datasets/OMNIGLOT/{name}": content for name, content in FILES.items()},
        {"repository.zip": zipped(FILES)},
    ],
)
def test_any_packing_gives_the_drawings(files: dict[str, bytes], tmp_path: Path) -> None:
    dataset = imported(write_files(tmp_path / "source", files), tmp_path / "data")
    assert (dataset.name, dataset.protocol) == ("omniglot-burda", "standard")
    assert [len(dataset.split(name).images) for name in ("train", "validation", "test")] == [53, 7, 20]
    assert burda.describe(tmp_path / "data", SIZES) == "80 drawings, 28×28: 53 train, 7 validation, 20 test"


def test_the_file_may_be_given_itself(tmp_path: Path) -> None:
    source = write_files(tmp_path, FILES) / "chardata.mat"
    assert len(imported(source, tmp_path / "data").test.images) == 20


def test_drawings_stand_upright(tmp_path: Path) -> None:
    """A column of the file is a drawing column by column: the letter L, written out, is to be read as one."""
    letter = np.zeros((28, 28))
    letter[4:24, 6] = letter[23, 6:18] = 1.0
    content = matrices()
    content["testdata"][:, 3] = [letter[row, column] for column in range(28) for row in range(28)]
    content["testtarget"] = np.eye(50)[[0] * 3 + [49] + [0] * 16].T
    dataset = imported(write_files(tmp_path / "source", {"chardata.mat": mat(content)}), tmp_path / "data")
    assert dataset.test.classes[-1].startswith("alphabet50/character")
    assert torch.equal(dataset.test.images[-1], torch.from_numpy(255 * letter).byte())


def test_splits_hold_what_the_file_says_sorted_by_class(tmp_path: Path) -> None:
    dataset = imported(write_files(tmp_path / "source", FILES), tmp_path / "data")
    content = matrices()
    places = {name: dataset.split(name).images[:, 0, 0].int().tolist() for name in ("train", "validation", "test")}
    shuffled = np.random.RandomState(seed=123).permutation(60).tolist()  # as IWAE's code does
    assert sorted(places["train"]) == sorted(shuffled[:-7])
    assert sorted(places["validation"]) == sorted(shuffled[-7:])
    assert sorted(places["test"]) == list(range(20))
    for name, prefix in (("train", ""), ("validation", ""), ("test", "test")):
        split, place = dataset.split(name), places[name]
        alphabet = content[f"{prefix}target"].argmax(0)[place] + 1
        character = content[f"{prefix}targetchar"][0][place]
        expected = [f"alphabet{a:02}/character{c:02.0f}" for a, c in zip(alphabet, character, strict=True)]
        assert [split.classes[label] for label in split.labels] == expected
        assert split.classes == tuple(sorted(set(expected)))
        within = split.labels[1:] == split.labels[:-1]
        assert bool((torch.tensor(place).diff()[within] > 0).all())
        values = content[f"{prefix}data"][:, place].T.reshape(-1, 28, 28).transpose(0, 2, 1)
        assert np.abs(split.images.numpy() / 255 - values).max() <= 0.5 / 255 + 1e-9
        assert split.levels == 255


def test_a_file_without_labels_is_of_one_class(tmp_path: Path) -> None:
    content = {name: matrix for name, matrix in matrices().items() if "target" not in name}
    dataset = imported(write_files(tmp_path / "source", {"chardata.mat": mat(content)}), tmp_path / "data")
    for name in ("train", "validation", "test"):
        assert dataset.split(name).classes == ("omniglot/unlabelled",)


def changed(name: str, change: Any) -> dict[str, Any]:
    content = matrices()
    content[name] = change(content[name])
    return content


def _one(value: float) -> Any:
    def change(matrix: np.ndarray) -> np.ndarray:
        matrix[5, 2] = value
        return matrix

    return change


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"x": np.zeros(3)}, "chardata.mat has no data: it is not Burda's Omniglot"),
        ({k: m for k, m in matrices().items() if k != "testdata"}, "has no testdata"),
        ({k: m for k, m in matrices().items() if k != "targetchar"}, "has no targetchar"),
        ({k: m for k, m in matrices().items() if k != "testtarget"}, "has no testtarget"),
        (changed("data", lambda m: m[:, :-1]), "has data of shape [784, 59], not [784, 60]"),
        (changed("testdata", lambda m: m.T), "has testdata of shape [20, 784], not [784, 20]"),
        (changed("data", lambda m: m * 255), "values in data that are not between 0 and 1"),
        (changed("data", _one(1.01)), "values in data that are not between 0 and 1"),
        (changed("testdata", _one(-0.01)), "values in testdata that are not between 0 and 1"),
        (changed("testdata", _one(np.nan)), "values in testdata that are not between 0 and 1"),
        (changed("data", lambda m: 1 - m), "has light paper in data"),
        (changed("data", lambda m: m + 0j), "has data that is no matrix of numbers"),
        (changed("data", lambda m: "words"), "has data that is no matrix of numbers"),
        (changed("target", lambda m: m[:, :-1]), "has target that is not 0 and 1 [50, 60]"),
        (changed("target", lambda m: m * 2), "has target that is not 0 and 1"),
        (changed("target", lambda m: m * 0), "has drawings of no alphabet, or of several, in target"),
        (changed("targetchar", lambda m: m + 0.5), "has targetchar that is not whole numbers"),
        (changed("testtargetchar", lambda m: m[0, :3]), "has testtargetchar that is not whole numbers"),
    ],
)
def test_bad_contents_are_refused(content: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(mat(content), tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = FILES["chardata.mat"]
    damaged = [whole[:length] for length in (0, 1, 100, 130, 200, len(whole) // 2, len(whole) - 1)]
    for place in range(124, len(whole), len(whole) // 40):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        damaged.append(bytes(changed))
    damaged += [b"<html>not found</html>", b"\x89HDF\r\n\x1a\n" + bytes(500)]
    for number, content in enumerate(damaged):
        assert "can't be read as a MATLAB file" in refused(content, tmp_path / str(number))
    assert "has no data" in refused(whole[:128], tmp_path / "no variables")


def repacked(change: Callable[[bytearray], None]) -> bytes:
    """The file with its first variable changed and packed again, so that every checksum is right."""
    whole = FILES["chardata.mat"]
    _, size = struct.unpack_from("<II", whole, 128)
    variable = bytearray(zlib.decompress(whole[136 : 136 + size]))
    change(variable)
    packed = zlib.compress(bytes(variable))
    return whole[:128] + struct.pack("<II", 15, len(packed)) + packed + whole[136 + size :]


def test_a_file_that_was_made_to_do_harm_is_refused_in_one_line(tmp_path: Path) -> None:
    """SciPy's reader ends the whole process for some of these."""

    def damage(variable: bytearray, place: int, value: int) -> None:
        variable[place] = value

    number = 0
    for place in range(64):  # kinds, sizes, flags, shape and name
        for value in (0, 1, 14, 147, 255):
            number += 1
            source = write_files(
                tmp_path / str(number), {"chardata.mat": repacked(partial(damage, place=place, value=value))}
            )
            try:
                burda.import_from(source, tmp_path / "data", SIZES)
            except VmaError as error:
                assert "\n" not in str(error)  # noqa: PT017


def test_a_variable_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "LARGEST", 10_000)
    assert "cut short, or too large" in refused(FILES["chardata.mat"], tmp_path)


def test_variables_that_unpack_to_too_much_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "ALL", 784 * 60 * 8 + 1000)  # the first has no more
    assert "cut short, or too large" in refused(FILES["chardata.mat"], tmp_path)


def test_no_more_elements_are_read_than_a_matrix_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may hold millions of elements, each of which would take some hundred bytes."""
    read = []
    elements = matlab._elements

    def counted(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
        for element in elements(content, order):
            read.append(element[0])
            yield element

    def extended(variable: bytearray) -> None:
        variable += struct.pack("<HHI", 1, 1, 0) * 1000
        struct.pack_into("<I", variable, 4, len(variable) - 8)

    monkeypatch.setattr(matlab, "_elements", counted)
    assert "no matrix of numbers" in refused(repacked(extended), tmp_path)
    assert len(read) < 10


def test_matrices_are_read_as_scipy_reads_them() -> None:
    kinds = (np.float64, np.float32, np.uint8, np.int16, np.int64)
    content = {f"m{n}": np.arange(12).reshape(3, 4).astype(kind) for n, kind in enumerate(kinds)}
    content |= {"one": np.array([[1.5]]), "bytes": np.array([[1, 2, 3]], np.uint8)}
    theirs = loadmat(io.BytesIO(mat(content)))
    ours = matlab.matrices(mat(content), content)
    for name, matrix in ours.items():
        assert np.array_equal(matrix, theirs[name])
        assert np.array_equal(matrix, content[name])
    assert ours.keys() == content.keys()


def test_variables_without_a_checksum_are_not_read(tmp_path: Path) -> None:
    """Nothing would tell whether such a file is damaged."""
    damaged = bytearray(mat(matrices(), compressed=False))
    damaged[177] = 147  # the type of the first variable's values
    for name, content in {"whole": mat(matrices(), compressed=False), "damaged": bytes(damaged)}.items():
        assert "its variables are not compressed" in refused(content, tmp_path / name)


def test_what_holds_no_such_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no chardata.mat; run `vma download omniglot-burda`" in refusal(tmp_path / "empty", tmp_path / "data")
    assert "there is no" in refusal(tmp_path / "nowhere", tmp_path / "data")
    two = write_files(tmp_path / "two", {"a/chardata.mat": FILES["chardata.mat"], "b/chardata.mat": mat(matrices(1))})
    assert "holds two different chardata.mat" in refusal(two, tmp_path / "data")


def test_a_failed_import_leaves_the_former_one(tmp_path: Path) -> None:
    before = imported(write_files(tmp_path / "good", FILES), tmp_path / "data")
    bad = write_files(tmp_path / "bad", {"chardata.mat": mat(changed("testdata", lambda m: m * 2))})
    with pytest.raises(VmaError):
        burda.import_from(bad, tmp_path / "data", SIZES)
    assert torch.equal(burda.load(tmp_path / "data", SIZES).train.images, before.train.images)


def test_missing_and_other_drawings_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"run `vma download omniglot-burda` \(or `--from PATH`\)"):
        burda.load(tmp_path)
    imported(write_files(tmp_path / "source", FILES), tmp_path)
    with pytest.raises(VmaError, match="its drawings are not those of Burda's Omniglot"):
        burda.load(tmp_path)


def test_the_published_sizes() -> None:
    assert burda.SIZES == (24_345, 1_345, 8_070)
