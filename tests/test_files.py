"""Files and folders appear whole or not at all, and what killed writers leave is removed."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from vmacore import files
from vmacore.files import check_writable, discard, folder_for, new_folder, replace

KILLED = """
import os, sys
from pathlib import Path
from vmacore.files import new_folder, replacing
path = Path(sys.argv[1])
if sys.argv[2] == "file":
    with replacing(path) as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), 9)
with new_folder(path) as folder:
    (folder / "a").write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(files.os, "fork"), reason="nothing tells here whether a process still runs")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_swept(tmp_path: Path, kind: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "one"), kind], check=False)
    (left,) = tmp_path.iterdir()
    assert files.TEMPORARY.fullmatch(left.name)
    own = [tmp_path / name for name in (".one.notes.tmp", f".one.{files.HOST}.tmp", ".one.otherhost.1.1.tmp", "two")]
    for path in own:
        path.write_text("")
    replace(tmp_path / "three", b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([*own, tmp_path / "three"])


def test_who_writes_at_the_same_time_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_folder(tmp_path / "one"):
        monkeypatch.setattr(files, "_swept", set())  # as another process has it
        replace(tmp_path / "two", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_folder_is_discarded_and_what_it_links_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("years of work")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "precious")
    discard(tmp_path / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["precious", "thesis.tex"]


def test_where_nothing_can_be_written_is_found_out_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below", tmp_path):
        with pytest.raises(OSError, match=r"directory|File exists"):
            check_writable(path)
    check_writable(tmp_path / "new" / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_results_goes_again(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for folder, result, error in itertools.product(
        (there / "a" / "b", tmp_path / "c"), (None, "result"), (None, ValueError())
    ):
        with suppress(ValueError), folder_for(folder):
            if result:
                (folder / result).write_text("")
            if error:
                raise error
        assert folder.exists() == bool(result)
        shutil.rmtree(folder, ignore_errors=True)
        assert there.exists()


@pytest.mark.skipif(not hasattr(files.os, "mkfifo"), reason="this system has no pipes with names")
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    files.os.mkfifo(path)
    for write in (check_writable, lambda path: replace(path, b"content")):
        with pytest.raises(OSError, match="no regular file"):
            write(path)
    assert path.is_fifo()
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]
