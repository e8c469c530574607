"""Two that change one file: the second waits, and takes what the first made."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vmacore.files import replace
from vmacore.memory.changing import changing

fcntl = pytest.importorskip("fcntl")


def test_the_second_waits_and_finds_what_the_first_wrote(tmp_path: Path) -> None:
    file, waits = tmp_path / "a.mem", threading.Event()
    file.write_bytes(b"0")

    def second() -> None:
        with changing(file, waits.set):
            replace(file, file.read_bytes() + b"2")

    with changing(file):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(10)
        replace(file, file.read_bytes() + b"1")
        assert file.read_bytes() == b"01"
    other.join(10)
    assert file.read_bytes() == b"012"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mem"]


def test_what_cannot_be_locked_lets_everyone_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with changing(tmp_path / "absent"):
        pass

    def none(*arguments: object) -> None:
        raise OSError

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / "there").write_bytes(b"")
    with changing(tmp_path / "there"), changing(tmp_path / "there"):
        pass
