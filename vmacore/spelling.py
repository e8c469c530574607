"""What was meant by a name that there is not. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

MOST = 2  # names that are offered
ALIKE = 0.7  # of 1, how much of a spelling must agree: 50-0 is not to mean 30-20
FARTHER = 0.05  # than the nearest, that others may be
LONGEST = 60  # letters of a name that are compared


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names that are spelled most nearly so, capitals or not, the nearest first; none if none is."""
    spelled, asked = {other.lower(): other for other in known}, name[:LONGEST].lower()
    close = get_close_matches(asked, spelled, MOST, ALIKE)
    alike = [SequenceMatcher(None, other, asked).ratio() for other in close]
    return [spelled[other] for other, part in zip(close, alike, strict=True) if part > alike[0] - FARTHER]


def did_you_mean(near: Sequence[str]) -> str:
    """Such as "did you mean 'digits' or 'glyphs'? ", to stand before the way out; nothing without names."""
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""


def choose_one_of(name: str, known: Iterable[str]) -> str:
    """How an error about a name ends: "did you mean 'glyphs'? choose one of digits, glyphs, mnist"."""
    names = list(known)
    return f"{did_you_mean(nearest(name, names))}choose one of {', '.join(names)}"
