"""Docstrings say `name: what it is` of arguments and fields, one a line; the site shows these lines as a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

FIELD = re.compile(r"(?P<names>\w+(?: \[[^\]]*\])?(?:, \w+(?: \[[^\]]*\])?)*): ")


class Fields(griffe.Extension):
    """Makes list items of the lines that begin with names of arguments or fields."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = listed(obj.docstring.value, names_of(obj))


def names_of(obj: griffe.Object) -> set[str]:
    """Arguments of a function, fields of a class and arguments of its constructor."""
    if isinstance(obj, griffe.Function):
        return {parameter.name for parameter in obj.parameters}
    if isinstance(obj, griffe.Class):
        made = obj.members.get("__init__")
        return set(obj.members) | (names_of(made) if isinstance(made, griffe.Function) else set())
    return set()


def listed(text: str, names: set[str]) -> str:
    """A docstring in which each line `name: …`, with the lines that follow it up to a blank one, is a list item."""
    lines: list[str] = []
    for line in text.splitlines():
        match = FIELD.match(line)
        if match and set(re.findall(r"\w+", re.sub(r"\[[^\]]*\]", "", match["names"]))) <= names:
            if lines and lines[-1] and not lines[-1].startswith("- "):
                lines.append("")
            line = f"- **{match['names']}**: {line[match.end() :]}"
        lines.append(line)
    return "\n".join(lines)
