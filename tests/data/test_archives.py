"""Zips and folders from strangers: bounded in size and depth, and never waited for."""

from __future__ import annotations

import gzip
import io
import os
import re
import zipfile
import zlib
from pathlib import Path

import pytest

from vmacore.data import archives
from vmacore.data.archives import gunzipped, wanted_files
from vmacore.errors import VmaError

WANTED = re.compile(r"(?:^|/)wanted\.txt$")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def found(source: Path) -> list[bytes]:
    return [content for _, _, content in wanted_files(source, WANTED)]


def refused(source: Path) -> str:
    with pytest.raises(VmaError) as caught:
        found(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST", 10_000)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_bomb_unpacks_to_no_more_than_the_largest_file(tmp_path: Path, small: None, method: int) -> None:
    (tmp_path / "bomb.zip").write_bytes(zipped({"wanted.txt": bytes(10_001)}, method))
    assert "unpacks to more than 10,000 bytes" in refused(tmp_path)
    (tmp_path / "bomb.zip").write_bytes(zipped({"in/wanted.txt": bytes(10_000), "other": bytes(10**6)}, method))
    assert found(tmp_path) == [bytes(10_000)]


def test_a_member_that_is_larger_than_it_says(tmp_path: Path, small: None) -> None:
    content = bytearray(zipped({"wanted.txt": bytes(50_000)}))
    size = (50_000).to_bytes(4, "little")
    while size in content:
        place = content.index(size)
        content[place : place + 4] = (10).to_bytes(4, "little")
    (tmp_path / "bomb.zip").write_bytes(bytes(content))
    refused(tmp_path)


def test_all_members_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALL", 25_000)
    (tmp_path / "many.zip").write_bytes(zipped({f"{n}/wanted.txt": bytes(10_000) for n in range(3)}))
    assert "unpacks to more than" in refused(tmp_path)


def test_zips_in_zips_end_somewhere(tmp_path: Path) -> None:
    content = zipped({"wanted.txt": b"here"})
    for _ in range(2):
        content = zipped({"inner.zip": content})
    (tmp_path / "outer.zip").write_bytes(content)
    assert found(tmp_path) == [b"here"]
    for number in range(1000):
        content = zipped({f"{'n' * 50}{number}.zip": content}, zipfile.ZIP_STORED)
    (tmp_path / "outer.zip").write_bytes(content)
    assert len(refused(tmp_path)) < 500


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damage_anywhere_is_one_line(tmp_path: Path, method: int) -> None:
    whole = zipped({"wanted.txt": os.urandom(200) + b"a" * 200}, method)
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "a.zip").write_bytes(bytes(damaged))
        try:
            found(tmp_path)
        except VmaError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wanted.txt")
    os.mkfifo(tmp_path / "a.zip")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "wanted.txt").write_bytes(b"here")
    assert found(tmp_path) == [b"here"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is unreadable here")
def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert "closed" in refused(tmp_path)


def test_gunzipped(small: None) -> None:
    assert gunzipped(gzip.compress(b"content")) == b"content"
    for content in (gzip.compress(bytes(10_001)), gzip.compress(b"content")[:-5], b""):
        with pytest.raises(ValueError, match="cut short, or too large"):
            gunzipped(content)
    with pytest.raises(zlib.error):
        gunzipped(b"no gzip")
