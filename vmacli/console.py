"""A console on which names that others gave cannot act: their control characters are shown as question marks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# All but tabs and line ends; with what turns the direction of text, which hides what a name is.
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The text with a question mark for each letter that would act on a terminal."""
    return ACTING.sub("?", text)


class HarmlessConsole(Console):
    """Its own colours and cursor movements stay, since they are not text."""

    def render_str(self, text: str, **how: Any) -> Text:
        """As a console renders, of harmless text: before it is measured, since most of these letters have no width."""
        return super().render_str(harmless(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As a console renders, with harmless text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)
