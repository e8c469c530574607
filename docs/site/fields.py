"""Docstrings say `name: what it is` of arguments and fields; the site shows what they say as a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

# Names, perhaps with their shapes, where a sentence may begin: `keys [S, E], queries [B, E]: …`
NAME = r"\w+(?: \[[^\]]*\])?"
FIELD = re.compile(rf"(?:(?<=^)|(?<=[.;]\s))(?P<names>{NAME}(?:, {NAME})*): ", re.M)
SHAPE = re.compile(r"\[[^\]]*\]")


class Fields(griffe.Extension):
    """Makes list items of what stands behind names of arguments or fields."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change an object's docstring."""
        if obj.docstring is not None:
            paragraphs = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(listed(paragraph, names_of(obj)) for paragraph in paragraphs)


def names_of(obj: griffe.Object) -> set[str]:
    """Arguments of a function, fields of a class and arguments of its constructor."""
    if isinstance(obj, griffe.Function):
        return {parameter.name for parameter in obj.parameters}
    if isinstance(obj, griffe.Class):
        made = obj.members.get("__init__")
        return set(obj.members) | (names_of(made) if isinstance(made, griffe.Function) else set())
    return set()


def listed(paragraph: str, names: set[str]) -> str:
    """A paragraph in which each `name: …`, up to the next one, is a list item."""
    fields = [field for field in FIELD.finditer(paragraph) if set(re.findall(r"\w+", unshaped(field))) <= names]
    if not fields or paragraph.startswith(" "):  # what is indented is an equation, or code
        return paragraph
    ends = [field.start() for field in fields[1:]] + [len(paragraph)]
    items = [
        f"- **{field['names']}**: {' '.join(paragraph[field.end() : end].split()).rstrip(';')}"
        for field, end in zip(fields, ends, strict=True)
    ]
    before = paragraph[: fields[0].start()].rstrip()
    return "\n".join([*([before, ""] if before else []), *items])


def unshaped(field: re.Match[str]) -> str:
    """The names without their shapes."""
    return SHAPE.sub("", field["names"])
