"""What glibc is told about freed memory, and that other C libraries are left alone."""

import ctypes
import sys
from types import SimpleNamespace

import pytest

from vmacli.allocator import keep_freed_memory


def test_glibc_takes_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}

    def mallopt(parameter: int, value: int) -> int:
        told[parameter] = value
        return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory()
    assert told == {-3: 32 * 2**20, -1: 2**31 - 1, -2: 64 * 2**20}  # as malloc.h numbers them


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("nothing is to be called"))
    assert not keep_freed_memory()
