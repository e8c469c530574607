"""The shipped weights give the numbers that are stored, whatever has become of the code."""

from __future__ import annotations

import pytest

from tests.evaluation.stored_numbers import MARGIN, differences, names, numbers_of, step_of, stored

STORED = stored()
REWRITE = "python -m tests.evaluation.stored_numbers --write"


def test_numbers_are_stored_of_all_shipped_weights() -> None:
    assert sorted(STORED["weights"]) == names(), f"weights came or went: {REWRITE}"


@pytest.mark.parametrize("name", STORED["weights"])
def test_shipped_weights_give_the_stored_numbers(name: str) -> None:
    entry = STORED["weights"][name]
    assert step_of(name) == entry["step"], f"the weights have changed: {REWRITE} {name}"
    now, margin = numbers_of(name, STORED["images"], entry["seed"])
    shares = differences(entry["numbers"], now)
    too_far = {key: share for key, share in shares.items() if not share <= 1}  # what is not a number is too far
    assert not too_far, f"shares of what is tolerated; if the weights were replaced: {REWRITE} {name}"
    assert margin > MARGIN / 2
