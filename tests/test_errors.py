"""What errors show of long and odd values."""

from __future__ import annotations

import pytest

from vmacore.errors import cut


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    message = f"cannot use {'a' * 100_000}: File name too long; give a shorter --out"
    shown = cut(message, 200)
    assert len(shown) == 201
    assert shown.startswith("cannot use aaa")
    assert shown.endswith("aaa: File name too long; give a shorter --out")
    assert "…" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("short", "short"), ("two\nlines", "two lines"), ("\x1b[31mred", "?[31mred"), ("a" * 200, "a" * 200)],
)
def test_a_text_comes_on_one_printable_line(text: str, shown: str) -> None:
    assert cut(text, 200) == shown
