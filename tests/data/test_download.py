"""Downloads: fetched once and whole, tried again, or refused in one line with the way out."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pooch
import pytest

from tests.data.drawings import write_files
from tests.data.server import Server
from vmacore.data import download as module
from vmacore.data.download import REMOTES, Remote, download
from vmacore.errors import VmaError, writing

ONE, TWO = b"one" * 100_000, b"two"


class Joiner:
    """A reader of two files: joins them."""

    def import_from(self, source: Path, data_dir: Path) -> Path:
        joined = data_dir / "joined"
        joined.write_bytes(b"".join((source / name).read_bytes() for name in ("one.bin", "two.bin")))
        return joined

    def describe(self, data_dir: Path) -> str:
        try:
            return f"{(data_dir / 'joined').stat().st_size} bytes"
        except OSError as error:
            raise VmaError("not there") from error


def remotes(base_url: str) -> dict[str, Remote]:
    registry = {"one.bin": ONE, "two.bin": TWO}
    return {
        "pair": Remote(
            title="The pair",
            base_url=base_url,
            folder=Path("pair"),
            registry={name: "md5:" + hashlib.md5(content).hexdigest() for name, content in registry.items()},
            reader=Joiner(),
        )
    }


def refusal(server: Server, data_dir: Path, **options: object) -> str:
    """The one line with which a download ends; only whole files may be there."""
    with pytest.raises(VmaError) as error:
        download("pair", data_dir, remotes=remotes(server.url), **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    for path in data_dir.rglob("*"):
        assert path.is_dir() or path.read_bytes() in (ONE, TWO)
    return str(error.value)


def test_files_are_fetched_once_and_prepared(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.answers = {"one.bin": [ONE], "two.bin": [TWO]}
    reports: list[tuple[int, int | None]] = []
    data_dir = tmp_path / "new" / "data"
    result = download("pair", data_dir, None, lambda *r: reports.append(r), remotes=remotes(server.url))
    assert result.path == data_dir / "pair"
    assert result.description == f"{len(ONE) + len(TWO)} bytes"
    assert (data_dir / "joined").read_bytes() == ONE + TWO

    assert reports[-1] == (len(TWO), len(TWO))
    assert (len(ONE), len(ONE)) in reports
    assert all(total in (len(ONE), len(TWO)) and done <= total for done, total in reports if total)

    assert download("pair", data_dir, offline=True, remotes=remotes(server.url)) == result
    (data_dir / "joined").unlink()
    assert download("pair", data_dir, offline=True, remotes=remotes(server.url)) == result
    assert server.asked == ["one.bin", "two.bin"]
    assert capfd.readouterr() == ("", "")


def test_broken_connections_and_wrong_hashes_are_tried_again(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answers = {"one.bin": [(ONE, 70_000), 503, ONE], "two.bin": [b"too", TWO]}
    download("pair", tmp_path, remotes=remotes(server.url))
    assert server.asked == ["one.bin"] * 3 + ["two.bin"] * 2
    assert sorted(os.listdir(tmp_path / "pair")) == ["one.bin", "two.bin"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "said", "tries"),
    [
        (b"another file", "what came is not the published file", 3),
        ((ONE, 70_000), "the connection broke before the end", 3),
        (500, "500 Server Error: Internal Server Error", 3),
        (404, "404 Client Error: Not Found", 1),
        (403, "403 Client Error: Forbidden", 1),
    ],
)
def test_failures_leave_nothing_and_say_the_way_out(
    answer: bytes | tuple[bytes, int] | int, said: str, tries: int, server: Server, tmp_path: Path
) -> None:
    server.answers = {"one.bin": [answer]}
    assert refusal(server, tmp_path) == (
        f"could not download {server.url}one.bin: {said}; if you have the files, run `vma download pair --from PATH`"
    )
    assert server.asked == ["one.bin"] * tries
    assert not os.listdir(tmp_path)


def test_what_was_fetched_before_a_failure_is_kept(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [ONE]}
    assert "two.bin: 404" in refusal(server, tmp_path)
    server.answers["two.bin"] = [TWO]
    download("pair", tmp_path, remotes=remotes(server.url))
    assert server.asked == ["one.bin", "two.bin", "two.bin"]


def test_a_file_altered_on_disk_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [ONE], "two.bin": [TWO]}
    write_files(tmp_path / "pair", {"one.bin": ONE, "two.bin": b"cut"})
    download("pair", tmp_path, remotes=remotes(server.url))
    assert server.asked == ["two.bin"]


@pytest.mark.usefixtures("no_waiting")
def test_no_server_and_no_host(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    with pytest.raises(VmaError, match=rf"could not download {url}one.bin: no connection, .*refused; if you"):
        download("pair", tmp_path, remotes=remotes(url))
    with pytest.raises(VmaError, match=r"no connection, Failed to resolve 'nowhere.invalid'"):
        download("pair", tmp_path, base_url="http://nowhere.invalid/", remotes=remotes(url), retries=0)


def test_offline_asks_no_one(server: Server, tmp_path: Path) -> None:
    said = refusal(server, tmp_path, offline=True)
    assert "--offline forbids downloading" in said
    assert "--from PATH" in said
    assert server.asked == []


def test_a_folder_that_can_not_be_written(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [ONE]}
    (tmp_path / "pair").write_bytes(ONE)  # a file where the folder should be
    said = refusal(server, tmp_path)
    assert "can't write in" in said
    assert "choose another --data-dir" in said


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = {"one.bin": [ONE]}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    assert "No space left on device" in refusal(server, tmp_path)
    assert not os.listdir(tmp_path)


def test_files_brought_by_hand_are_not_fetched(server: Server, tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {"one.bin": ONE, "two.bin": TWO})
    (tmp_path / "data").mkdir()
    result = download("pair", tmp_path / "data", source, offline=True, remotes=remotes(server.url))
    assert result.description == f"{len(ONE) + len(TWO)} bytes"
    assert server.asked == []


def test_unknown_names_list_what_can_be_had(tmp_path: Path) -> None:
    omniglots = {"omniglot", "omniglot-burda", "omniglot-gmn", "omniglot-oneshot"}
    assert set(REMOTES) == {*omniglots, "mnist", "binarized-mnist"}
    with pytest.raises(VmaError, match="'glyphs' can't be downloaded, it is built in or unknown; choose one of"):
        download("glyphs", tmp_path)


class Careful(Joiner):
    """A reader that knows its files by their contents."""

    def import_from(self, source: Path, data_dir: Path) -> Path:
        for name, content in (("one.bin", ONE), ("two.bin", TWO)):
            path = source / name
            if not path.exists() or path.read_bytes() != content:
                raise VmaError(f"{path} is damaged")
        return super().import_from(source, data_dir)


def without_hashes(base_url: str) -> dict[str, Remote]:
    pair = remotes(base_url)["pair"]
    return {"pair": replace(pair, registry=dict.fromkeys(pair.registry), reader=Careful())}


def test_files_without_a_hash_are_fetched_once_and_read(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [(ONE, 70_000), ONE], "two.bin": [TWO]}
    expected = f"{len(ONE) + len(TWO)} bytes"
    assert download("pair", tmp_path, remotes=without_hashes(server.url)).description == expected
    (tmp_path / "joined").unlink()
    for offline in (False, True):
        result = download("pair", tmp_path, offline=offline, remotes=without_hashes(server.url))
        assert result.description == expected
    assert server.asked == ["one.bin", "one.bin", "two.bin"]


def test_files_without_a_hash_that_can_not_be_read_are_fetched_again(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [b"<html>", ONE], "two.bin": [TWO]}
    with pytest.raises(VmaError, match=r"one.bin is damaged"):
        download("pair", tmp_path, remotes=without_hashes(server.url))
    with pytest.raises(VmaError, match=r"one.bin is damaged"):
        download("pair", tmp_path, offline=True, remotes=without_hashes(server.url))
    assert (tmp_path / "pair" / "one.bin").read_bytes() == b"<html>"
    download("pair", tmp_path, remotes=without_hashes(server.url))
    assert (tmp_path / "joined").read_bytes() == ONE + TWO


def test_files_without_a_hash_stay_until_others_are_there(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [ONE]}
    pair = tmp_path / "pair"
    pair.mkdir()
    before = {"one.bin": b"<html>", "two.bin": b"by hand"}
    for name, content in before.items():
        (pair / name).write_bytes(content)
    with pytest.raises(VmaError, match=r"two.bin: 404"):
        download("pair", tmp_path, remotes=without_hashes(server.url))
    assert {path.name: path.read_bytes() for path in pair.iterdir()} == before | {"one.bin": ONE}


def test_files_without_a_hash_stay_where_the_disk_is_full(server: Server, tmp_path: Path) -> None:
    class Full(Joiner):
        def import_from(self, source: Path, data_dir: Path) -> Path:
            with writing(data_dir, "make room"):
                raise OSError(errno.ENOSPC, "No space left on device")

    pair = tmp_path / "pair"
    pair.mkdir()
    for name in ("one.bin", "two.bin"):
        (pair / name).write_bytes(ONE)
    full = {"pair": replace(without_hashes(server.url)["pair"], reader=Full())}
    with pytest.raises(VmaError, match="No space left"):
        download("pair", tmp_path, remotes=full)
    assert sorted(path.name for path in pair.iterdir()) == ["one.bin", "two.bin"]
    assert server.asked == []


def test_of_files_without_a_hash_only_the_missing_are_fetched(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [ONE]}
    with pytest.raises(VmaError, match=r"two.bin: 404"):
        download("pair", tmp_path, remotes=without_hashes(server.url))
    server.answers["two.bin"] = [TWO]
    download("pair", tmp_path, remotes=without_hashes(server.url))
    assert server.asked == ["one.bin", "two.bin", "two.bin"]


def test_a_server_that_sends_on_for_ever(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 100_000)
    server.answers = {"one.bin": [ONE], "two.bin": [TWO]}
    assert "sends more than 100,000 bytes" in refusal(server, tmp_path)
    assert server.asked == ["one.bin"]  # and is not asked again


def test_a_server_that_drips(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", -1)
    server.answers = {"one.bin": [ONE], "two.bin": [TWO]}
    assert "takes more than" in refusal(server, tmp_path)


def test_leftovers_of_killed_downloads_go(server: Server, tmp_path: Path) -> None:
    server.answers = {"one.bin": [ONE], "two.bin": [TWO]}
    folder = tmp_path / "pair"
    files = {"tmpabcd_123": 7200, "tmpabcd_124": 60, "tmp-notes.txt": 7200, "tmpabcd_1234": 7200}
    write_files(folder, dict.fromkeys(files, ONE))
    for name, age in files.items():
        os.utime(folder / name, (time.time() - age, time.time() - age))
    download("pair", tmp_path, remotes=remotes(server.url))
    assert {path.name for path in folder.glob("tmp*")} == {"tmpabcd_124", "tmp-notes.txt", "tmpabcd_1234"}


def test_an_import_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        download("pair", tmp_path / "new" / "data", tmp_path / "absent", remotes=remotes(""))
    assert not os.listdir(tmp_path)


def test_a_data_folder_that_is_none_is_told_before_the_import(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match=r"can't write in .*choose another --data-dir"):
        download("pair", tmp_path / "file", tmp_path / "absent", remotes=remotes(""))
