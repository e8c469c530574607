from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from tests.data.drawings import write_files, zipped
from vmacore.data import load_dataset
from vmacore.data.sets import mnist
from vmacore.errors import VmaError

TRAIN, TEST = 5_040, 30


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def small_files(seed: int = 0) -> dict[str, bytes]:
    """The four files with images of 2×3 pixels, of which the first two tell the place in the file."""
    rng = np.random.default_rng(seed)
    files = {}
    for name, n in (("train", TRAIN), ("t10k", TEST)):
        images = rng.integers(0, 256, (n, 2, 3))
        images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(n), 256)
        files[f"{name}-images-idx3-ubyte"] = idx(images)
        files[f"{name}-labels-idx1-ubyte"] = idx(rng.integers(0, 10, n))
    return files


FILES = small_files()
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def gzipped(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


PACKINGS = {
    "raw": FILES,
    "torchvision": {f"MNIST/raw/{name}": content for name, content in FILES.items()},
    "gz": gzipped(FILES),
    "dots": {name.replace("-idx", ".idx"): content for name, content in FILES.items()},
    "zip": {"archive.zip": zipped({f"mnist/{name}": content for name, content in FILES.items()})},
    "zip of gz": {"archive.zip": zipped(gzipped(FILES))},
    "beside another": {
        **{f"FashionMNIST/raw/{name}": content for name, content in small_files(seed=1).items()},
        **{f"MNIST/raw/{name}": content for name, content in FILES.items()},
    },
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_any_packing_gives_the_published_files(packing: str, tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", PACKINGS[packing])
    raw = mnist.import_from(source, tmp_path / "data", HASHES)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == FILES
    assert MNIST(tmp_path / "data", train=False).data.shape == (TEST, 2, 3)


def test_a_zip_may_be_given_itself(tmp_path: Path) -> None:
    source = write_files(tmp_path, PACKINGS["zip"]) / "archive.zip"
    mnist.import_from(source, tmp_path / "data", HASHES)
    assert mnist.describe(tmp_path / "data", HASHES) == "5,070 digits, 2×3: 40 train, 5,000 validation, 30 test"


def test_splits_are_sorted_by_class_and_keep_the_order_of_the_file(tmp_path: Path) -> None:
    write_files(tmp_path / "MNIST" / "raw", FILES)
    dataset = mnist.load(tmp_path, HASHES)
    places = {
        name: split.images[:, 0, 0].int() * 256 + split.images[:, 0, 1].int()
        for name, split in (
            ("train", dataset.train),
            ("validation", dataset.validation),
            ("test", dataset.test),
        )
    }
    assert sorted(places["train"].tolist()) == list(range(TRAIN - 5_000))
    assert sorted(places["validation"].tolist()) == list(range(TRAIN - 5_000, TRAIN))
    assert sorted(places["test"].tolist()) == list(range(TEST))
    for name, file in (("train", "train"), ("validation", "train"), ("test", "t10k")):
        split, place = dataset.split(name), places[name]
        labels = np.frombuffer(FILES[f"{file}-labels-idx1-ubyte"], dtype=np.uint8)[8:]
        assert split.labels.tolist() == labels[place.numpy()].tolist()
        within = split.labels[1:] == split.labels[:-1]
        assert bool((place.diff()[within] > 0).all())
        assert split.classes == tuple(f"mnist/{digit}" for digit in range(10))
        assert split.levels == 255


def test_missing_and_altered_files_are_told(tmp_path: Path) -> None:
    name = "t10k-labels-idx1-ubyte"
    some = {file: content for file, content in FILES.items() if file != name}
    for folder, files, said in (
        ("missing", some, f"no {name};"),
        ("altered", {**some, name: FILES[name][:-1] + b"\x0b"}, f"no {name} (.*{name} is damaged"),
        (
            "cut gz",
            {**some, f"{name}.gz": gzip.compress(FILES[name])[:-9]},
            f"no {name} (.*{name}.gz is damaged",
        ),
        ("other", small_files(seed=1), "no train-images-idx3-ubyte, train-labels"),
        ("empty", {"notes.txt": b""}, "run `vma download mnist`"),
    ):
        source = write_files(tmp_path / folder, files)
        with pytest.raises(VmaError, match=said.replace("(", r"\(")) as error:
            mnist.import_from(source, tmp_path / "data", HASHES)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", FILES)
def test_damage_after_the_import_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=r"run `vma download mnist` \(or `--from PATH`\)"):
        mnist.load(tmp_path, HASHES)
    write_files(tmp_path / "MNIST" / "raw", {**FILES, name: FILES[name][:-1]})
    with pytest.raises(VmaError, match=f"{name} can't be used: it is not the published file"):
        mnist.load(tmp_path, HASHES)


def test_real_mnist(real_data: Path, tmp_path: Path) -> None:
    mnist.import_from(real_data, tmp_path)
    dataset = load_dataset("mnist", data_dir=tmp_path)
    assert [len(dataset.split(name).images) for name in ("train", "validation", "test")] == [
        55_000,
        5_000,
        10_000,
    ]
    assert dataset.train.size == (28, 28)

    published = MNIST(tmp_path, train=False)
    for digit in (0, 9):
        assert torch.equal(dataset.test.select([digit]).images, published.data[published.targets == digit])

    fixed = dataset.test.binarised(seed=0)
    assert torch.equal(fixed.images, dataset.test.binarised(seed=0).images)
    assert int(fixed.images.max()) == 1
    assert abs(float(fixed.images.float().mean() - dataset.test.images.float().mean() / 255)) < 1e-3
