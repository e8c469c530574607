from __future__ import annotations

import errno
import json
import os
import zlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vmacore.data import prepared as module
from vmacore.data.characters import Characters
from vmacore.data.prepared import read_prepared, read_splits, write_atomically, write_prepared, write_splits
from vmacore.errors import VmaError


def some_characters(levels: int = 1) -> Characters:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, levels + 1, (7, 5, 3), generator=generator, dtype=torch.uint8)
    classes = ("A/character01", "A/character02", "Ü/character01")
    return Characters(images, torch.tensor([0, 0, 0, 1, 1, 2, 2]), classes, levels)


@pytest.fixture(params=[1, 255], ids=["binary", "grey"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "some.safetensors"
    write_prepared(path, some_characters(request.param), "5×3, as drawn")
    return path


def read(path: Path) -> Characters:
    return read_prepared(path, "5×3, as drawn", "make it again")


@pytest.mark.parametrize("levels", [1, 16, 255])
def test_what_is_written_is_read(levels: int, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "some.safetensors"
    expected = some_characters(levels)
    write_prepared(path, expected, "5×3, as drawn")
    found = read(path)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, expected.labels)
    assert found.classes == expected.classes
    assert found.levels == levels
    assert os.listdir(path.parent) == [path.name]


def test_binary_files_stay_as_they_were(tmp_path: Path) -> None:
    """Files that are out there name no levels; a reader that has forgotten them could not use them any more."""
    write_prepared(tmp_path / "file", some_characters(), "5×3, as drawn")
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert set(file.metadata()) == {"format", "preparation", "size", "classes", "counts", "sha256"}


@pytest.mark.parametrize("levels", [1, 255])
def test_splits_that_share_classes(levels: int, tmp_path: Path) -> None:
    whole = some_characters(levels)
    expected = {"train": whole, "validation": whole.select([2]), "test": whole.select([1, 2])}
    write_splits(tmp_path / "file", expected, "5×3, as drawn")
    found = read_splits(tmp_path / "file", "5×3, as drawn", "make it again")
    assert list(found) == ["train", "validation", "test"]
    for name, split in found.items():
        assert torch.equal(split.images, expected[name].images)
        assert torch.equal(split.labels, expected[name].labels)
        assert split.classes == expected[name].classes
        assert split.levels == levels


def test_another_preparation_is_refused(prepared: Path) -> None:
    with pytest.raises(VmaError, match=r"its preparation is '5×3, as drawn', not '5×3, nearest'; make it again"):
        read_prepared(prepared, "5×3, nearest", "make it again")


def test_no_byte_can_be_changed_unnoticed(prepared: Path) -> None:
    whole = prepared.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        prepared.write_bytes(changed)
        with pytest.raises(VmaError, match="can't be used") as error:
            read(prepared)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 1, 8, 100, -100, -1])
def test_a_truncated_file_is_refused(prepared: Path, length: int) -> None:
    prepared.write_bytes(prepared.read_bytes()[:length])
    with pytest.raises(VmaError, match="can't be used: it is damaged; make it again"):
        read(prepared)


def test_a_longer_file_and_a_folder_are_refused(prepared: Path, tmp_path: Path) -> None:
    with prepared.open("ab") as file:
        file.write(b"more")
    for path in (prepared, tmp_path, tmp_path / "absent"):
        with pytest.raises(VmaError, match="can't be used: it is damaged"):
            read(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "vma-characters 0"),
        ("preparation", "other"),
        ("size", json.dumps((3, 5))),
        ("size", json.dumps((5, 4))),
        ("size", "null"),
        ("classes", json.dumps(["A/character01", "A/character02", "B/character01"])),
        ("classes", json.dumps(["A/character01", "A/character02"])),
        ("counts", json.dumps([2, 3, 2])),
        ("counts", json.dumps([3, 2, 1])),
        ("counts", json.dumps([3, 2, -2])),
        ("counts", "[]"),
        ("levels", "1"),
        ("levels", "16"),
        ("levels", "null"),
        ("sha256", "0" * 64),
        ("classes", None),
        ("sha256", None),
    ],
)
def test_a_description_that_does_not_fit_is_refused(prepared: Path, key: str, value: str | None) -> None:
    with safe_open(prepared, framework="pt") as file:
        description, bits = dict(file.metadata()), file.get_tensor("bits")
    description.pop(key, None)
    if value is not None:
        description[key] = value
    save_file({"bits": bits}, prepared, metadata=description)
    with pytest.raises(VmaError, match="can't be used"):
        read(prepared)


@pytest.mark.parametrize(
    ("size", "counts", "levels"),
    [("[0, 3]", "[1099511627776]", "1"), ("[5, 0]", "[1099511627776]", "1"), ("[1, 1]", "[1]", "1000")],
)
def test_numbers_that_nothing_bounds_are_refused(tmp_path: Path, size: str, counts: str, levels: str) -> None:
    """The checksum is right, as whoever makes such a file on purpose makes it."""
    content = bytes(1 if size == "[1, 1]" else 0)
    description = {
        "format": module.FORMAT,
        "preparation": "5×3, as drawn",
        "size": size,
        "classes": '["A"]',
        "counts": counts,
        "levels": levels,
    }
    description["sha256"] = module._checksum(description, content)
    bits = torch.frombuffer(bytearray(zlib.compress(content)), dtype=torch.uint8)
    save_file({"bits": bits}, tmp_path / "file", metadata=description)
    with pytest.raises(VmaError, match="its size is none that a data set has"):
        read(tmp_path / "file")


def test_the_same_content_has_the_same_bytes(prepared: Path) -> None:
    stored = prepared.read_bytes()
    header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])


def test_other_safetensors_are_refused(prepared: Path) -> None:
    save_file({"weight": torch.zeros(3)}, prepared)
    with pytest.raises(VmaError, match="its format is None, not 'vma-characters 1'"):
        read(prepared)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(VmaError, match="No space left on device; choose another --data-dir"):
        write_atomically(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_path_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match=r"cannot write .*file/below"):
        write_atomically(tmp_path / "file" / "below", b"")
