from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.drawings import write_files, zipped
from vmacore.data.sets import binarized_mnist
from vmacore.data.sets.binarized_mnist import Published
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError

COUNTS = {"train": 6, "valid": 3, "test": 2}
SPLIT = {"train": "train", "valid": "validation", "test": "test"}


def digits(seed: int = 0) -> dict[str, np.ndarray]:
    """Pixels 0 or 1 [N, 784] of each part."""
    rng = np.random.default_rng(seed)
    return {part: (rng.random((n, 784)) < 0.2).astype(int) for part, n in COUNTS.items()}


def amat(pixels: np.ndarray, end: str = "\n") -> bytes:
    return "".join(" ".join(str(pixel) for pixel in row) + end for row in pixels).encode()


FILES = {f"binarized_mnist_{part}.amat": amat(pixels) for part, pixels in digits().items()}
PUBLISHED = {
    name: Published(SPLIT[part], COUNTS[part], hashlib.sha256(FILES[name]).hexdigest())
    for part, name in zip(COUNTS, FILES, strict=True)
}
TEST = "binarized_mnist_test.amat"


def refusal(source: Path, data_dir: Path) -> str:
    """The one line with which an import is refused; nothing may have been written."""
    with pytest.raises(VmaError) as error:
        binarized_mnist.import_from(source, data_dir, PUBLISHED)
    assert "\n" not in str(error.value)
    assert not list(data_dir.rglob("*.*"))
    return str(error.value)


@pytest.mark.parametrize(
    "files",
    [
        FILES,
        {f"mnist/{name}": content for name, content in FILES.items()},
        {"all.zip": zipped(FILES)},
        {name: content.replace(b"\n", b"\r\n") for name, content in FILES.items()},
        {name: content.replace(b" ", b"\t").rstrip() for name, content in FILES.items()},
    ],
)
def test_any_packing_gives_the_digits(files: dict[str, bytes], tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", files)
    binarized_mnist.import_from(source, tmp_path / "data", PUBLISHED)
    dataset = binarized_mnist.load(tmp_path / "data", PUBLISHED)
    assert (dataset.name, dataset.protocol) == ("binarized-mnist", "standard")
    for part, pixels in digits().items():
        split = dataset.split(SPLIT[part])
        assert np.array_equal(split.images.numpy(), pixels.reshape(-1, 28, 28))
        assert split.levels == 1
        assert split.classes == ("mnist/unlabelled",)
    said = binarized_mnist.describe(tmp_path / "data", PUBLISHED)
    assert said == "11 binary digits, 28×28: 6 train, 3 validation, 2 test"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (FILES[TEST][:1568], f"{TEST} has 1 digits, not 2"),
        (FILES[TEST] * 2, "has 4 digits, not 2"),
        (FILES[TEST][:-10], f"line 2 of .*{TEST} is not 784 times 0 or 1"),
        (b"1 " + FILES[TEST], f"line 1 of .*{TEST} is not 784 times 0 or 1"),
        (b"2" + FILES[TEST][1:], "line 1 of .* is not 784 times 0 or 1"),
        (FILES[TEST].replace(b"\n", b" ", 1), "line 1 of .* is not 784 times 0 or 1"),
        (b"", "line 1 of .* is not 784 times 0 or 1"),
        (b"<html>\n", "line 1 of .* is not 784 times 0 or 1"),
        (amat(digits(seed=1)["test"]), "is not the published file: another binarisation, or damaged"),
        (amat(1 - digits()["test"]), "is not the published file: another binarisation, or damaged"),
    ],
)
def test_bad_contents_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {**FILES, TEST: content})
    assert re.search(said, refusal(source, tmp_path / "data"))


def test_missing_files_are_told(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {TEST: FILES[TEST]})
    said = refusal(source, tmp_path / "data")
    assert "no binarized_mnist_train.amat, binarized_mnist_valid.amat; run `vma download binarized-mnist`" in said
    assert "there is no" in refusal(tmp_path / "nowhere", tmp_path / "data")


def test_a_failed_import_leaves_the_former_one(tmp_path: Path) -> None:
    binarized_mnist.import_from(write_files(tmp_path / "good", FILES), tmp_path / "data", PUBLISHED)
    bad = write_files(tmp_path / "bad", {**FILES, TEST: b""})
    with pytest.raises(VmaError):
        binarized_mnist.import_from(bad, tmp_path / "data", PUBLISHED)
    test = binarized_mnist.load(tmp_path / "data", PUBLISHED).test
    assert torch.equal(test.images.flatten(1).int(), torch.from_numpy(digits()["test"]).int())


def test_missing_and_other_digits_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"run `vma download binarized-mnist` \(or `--from PATH`\)"):
        binarized_mnist.load(tmp_path)
    binarized_mnist.import_from(write_files(tmp_path / "source", FILES), tmp_path, PUBLISHED)
    with pytest.raises(VmaError, match="its digits are not those of the binarised MNIST"):
        binarized_mnist.load(tmp_path)


def test_episodes_by_class_are_refused(tmp_path: Path) -> None:
    binarized_mnist.import_from(write_files(tmp_path / "source", FILES), tmp_path, PUBLISHED)
    train = binarized_mnist.load(tmp_path, PUBLISHED).train
    with pytest.raises(VmaError, match=r"8 classes asked for, but the split holds 1: .* --set episode\.memory=none"):
        EpisodeSampler(train, n_way=8, n_shot=1, n_target=1, seed=0)


def test_the_published_files() -> None:
    """A digit takes 784 pixels and as many separators, which gives the sizes on record beside the hashes."""
    sizes = {name: file.digits * 2 * 784 for name, file in binarized_mnist.FILES.items()}
    assert list(sizes.values()) == [78_400_000, 15_680_000, 15_680_000]
    assert {file.split for file in binarized_mnist.FILES.values()} == set(SPLIT.values())
