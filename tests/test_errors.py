"""What errors show of long and odd values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vmacli.conftest import Shell
from vmacore.errors import cut, reason


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


def test_a_number_of_too_many_digits_is_told_without_advice_to_programmers() -> None:
    with pytest.raises(ValueError, match="digits") as caught:
        int("9" * 5000)
    assert reason(caught.value) == "it holds a number of too many digits"


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (("score", "a" * 100_000), "choose another path, or make room there"),
        (("train", "--dataset", "digits", "--recipe", "a" * 100_000), "symbols"),
        (("train", "--dataset", "digits", "--set", "model.system=" + "a" * 100_000), "matching, soft-attention, vae"),
        (("train", "--dataset", "digits", "--set", "model.latent=" + "9" * 5000), "write a plain value"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_long_argument_does_not_push_the_way_out_off_the_line(
    tmp_path: Path, arguments: tuple[str, ...], end: str
) -> None:
    line = Shell(tmp_path).refused(*arguments)
    assert len(line) < 2100
    assert end in line[-600:]
