"""Files of memories that are damaged, or that somebody made to do harm: refused in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.memory.test_pictures import characters, make_memory, make_model
from vmacore.errors import VmaError
from vmacore.evaluation.identify import Identifier
from vmacore.memory.pictures import open_pictures
from vmacore.memory.stored import CHECKSUM

MODEL = make_model()
ASKED = characters([2, 2], seed=5)


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The description and the bytes of all tensors."""
    stored = path.read_bytes()
    start = 8 + int.from_bytes(stored[:8], "little")
    return json.loads(stored[8:start]), stored[start:]


def write(path: Path, header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def answers(path: Path) -> Any:
    """All that a memory in a file is used for."""
    memory = open_pictures(path)
    memory.check(MODEL, path)
    memory.as_dataset("m", None, "pixels")
    memory.without([memory.files[0]]).calibrated(MODEL)
    return Identifier(MODEL, memory, top=2).drawings(ASKED.images, ASKED.files)


def refusal(path: Path) -> str:
    with pytest.raises(VmaError) as caught:
        answers(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_memory(MODEL).save(tmp_path / "m")
    return tmp_path / "m"


@pytest.fixture
def earlier(file: Path) -> Path:
    """As versions wrote it that knew no checksum, so that nothing but the content tells what is wrong."""
    header, body = parts(file)
    expected = answers(file)
    del header["__metadata__"][CHECKSUM]
    write(file, header, body)
    assert answers(file) == expected
    return file


def test_a_flipped_bit_changes_no_answer(file: Path) -> None:
    whole, expected, draw = file.read_bytes(), answers(file), random.Random(0)
    refused = 0
    for _ in range(200):
        place = draw.randrange(8 * len(whole))
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        file.write_bytes(changed)
        try:
            assert answers(file) == expected  # a pixel alone, which is only shown
        except VmaError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("key", ["size", "classes", "preparation", "temperature", "run", "weights", "format"])
@pytest.mark.parametrize("value", ["[" * 5000, "null", "9" * 5000, "-1", "[]", "[9, 8]", "[8, 8.5]", "nan", None])
def test_what_a_file_says_of_itself(earlier: Path, key: str, value: str | None) -> None:
    header, body = parts(earlier)
    header["__metadata__"].pop(key)
    if value is not None:
        header["__metadata__"][key] = value
    write(earlier, header, body)
    if key == "run" and value is not None:  # any text may be a name
        answers(earlier)
    else:
        refusal(earlier)


@pytest.mark.parametrize("kind", ["F64", "I64", "U8", "BOOL", "F16", "I32", "F32"])
def test_tensors_of_another_kind(earlier: Path, kind: str) -> None:
    header, body = parts(earlier)
    width = {"F64": 8, "I64": 8, "U8": 1, "BOOL": 1, "F16": 2, "I32": 4, "F32": 4}[kind]
    for name in set(header) - {"__metadata__", "names"}:
        begin, end = header[name]["data_offsets"]
        if header[name]["dtype"] != kind and (end - begin) % width == 0:
            write(earlier, {**header, name: {**header[name], "dtype": kind, "shape": [(end - begin) // width]}}, body)
            refusal(earlier)


@pytest.mark.parametrize("name", ["labels", "nearest"])
@pytest.mark.parametrize("byte", [b"\xff", b"\x7f"])
def test_numbers_that_lead_nowhere(earlier: Path, name: str, byte: bytes) -> None:
    header, body = parts(earlier)
    begin, end = header[name]["data_offsets"]
    write(earlier, header, body[:begin] + byte * (end - begin) + body[end:])
    assert "out of range" in refusal(earlier)


@pytest.mark.parametrize(
    "names",
    [
        b"[" * 5000,
        b"null",
        b"\xff",
        b"{}",
        b'{"classes": 5, "files": []}',
        b'{"classes": ["a"], "files": ["b"]}',
        b'{"classes": ["a", "a", "c", "d"], "files": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"]}',
        b'{"classes": ["a", "b", "c", 5], "files": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"]}',
        b'{"classes": ["a", "b", "c", "d"], "files": [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]}',
        b'{"classes": ["a", "b", "c", "d", "e"], "files": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"]}',
    ],
)
def test_names_that_do_not_fit(earlier: Path, names: bytes) -> None:
    header, body = parts(earlier)
    begin, end = header["names"]["data_offsets"]
    assert end == len(body)
    changed = {**header["names"], "shape": [len(names)], "data_offsets": [begin, begin + len(names)]}
    write(earlier, {**header, "names": changed}, body[:begin] + names)
    refusal(earlier)
