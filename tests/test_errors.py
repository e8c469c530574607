"""Errors are one line that is not long, and still says what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vmacli.conftest import Shell
from vmacore.errors import cut, reason


def test_what_is_short_is_repeated_as_it_is() -> None:
    assert cut("a\n b\tc") == "a b c"
    assert cut("\x1b[31m\u202e") == "?[31m?"
    assert cut("a" * 200) == "a" * 200


@pytest.mark.parametrize("length", [201, 1000, 1601, 10**6])
def test_what_is_long_loses_its_middle(length: int) -> None:
    text = cut("begin" + "a" * length + "end")
    assert len(text) == 201
    assert text.startswith("begina")
    assert text.endswith("aend")


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
