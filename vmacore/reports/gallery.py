"""Pictures with their answers, as the reports of identify and classify show them: some of many, and which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MOST = 500  # pictures that a page shows
TO_LOOK_AT = ("unreadable", "wrong", "refused")
OUTCOMES = (*TO_LOOK_AT, "right", "answered")  # in the order in which they are shown


@dataclass(frozen=True)
class Slot:
    """A slot like the picture: its drawing, class and file."""

    drawn: str | None
    label: str
    name: str
    cosine: float


@dataclass(frozen=True)
class Card:
    """A picture and what was answered.

    outcome: one of OUTCOMES; "answered" where nobody knows what is right. answer: the class, or why there is none.
    classes: names of those that it is of or was taken for. lines: what else there is to say. given: a thumbnail.
    drawn: what was read of it.
    """

    name: str
    outcome: str
    answer: str
    classes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    given: str | None = None
    drawn: str | None = None
    nearest: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Cards. about: of how many pictures, and which these are."""

    cards: Sequence[Card]
    about: str

    @property
    def outcomes(self) -> list[str]:
        """Those that occur."""
        there = {card.outcome for card in self.cards}
        return [outcome for outcome in OUTCOMES if outcome in there]

    @cached_property
    def names(self) -> list[str]:
        """The classes of all cards, by name."""
        return sorted({name for card in self.cards for name in card.classes})

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def places(self, card: Card) -> list[int]:
        """Where the classes of a card are among `names`."""
        return sorted(self._place[name] for name in set(card.classes))


class Names:
    """Files named without the folder that all of them are in, which `folder` is; empty where there is none."""

    def __init__(self, files: Sequence[str]) -> None:
        parents = {str(Path(file).parent) for file in files}
        try:
            common = os.path.commonpath(parents) if parents else ""
        except ValueError:  # some are relative, or on different drives
            common = ""
        self.folder = "" if common in ("", ".", os.sep) else common

    def of(self, file: str) -> str:
        """The name of one of the files."""
        return Path(file).relative_to(self.folder).as_posix() if self.folder else file


def some(outcomes: Sequence[str], most: int = MOST) -> list[int]:
    """Which of many pictures are shown: those to look at first, in the order of OUTCOMES, at most `most` of them.

    A fifth of the room is for those without fault, if there are as many.
    """
    order = {outcome: place for place, outcome in enumerate(OUTCOMES)}
    places = sorted(range(len(outcomes)), key=lambda place: order[outcomes[place]])
    look = [place for place in places if outcomes[place] in TO_LOOK_AT]
    rest = places[len(look) :]
    room = min(len(rest), max(most - len(look), most // 5))
    return look[: most - room] + rest[:room]


def which(shown: int, total: int, unit: str = "pictures") -> str:
    """Which pictures are shown, in a sentence or two."""
    order = "Those that need a look come first."
    if shown == total:
        return f"All {total:,} {unit}. {order}" if total > 1 else ""
    return f"{shown:,} of {total:,} {unit}: a report shows {MOST} at most, and --csv has them all. {order}"
