"""Pages as their elements, and what must hold of every page."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

EMPTY = {"meta", "img", "input", "br", "link", "hr"}


@dataclass
class Element:
    """A tag with its attributes, and what is inside."""

    tag: str
    attributes: dict[str, str]
    inside: list[Element | str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    @property
    def text(self) -> str:
        """All its text, with single spaces."""
        parts = [part if isinstance(part, str) else part.text for part in self.inside]
        return " ".join(" ".join(parts).split())

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Elements inside, at any depth; `class` is one of several, and written class_."""
        return [element for element in self._below() if element._fits(tag, attributes)]

    def one(self, tag: str = "", **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    def _fits(self, tag: str, attributes: dict[str, str]) -> bool:
        own = self.attributes
        return tag in ("", self.tag) and all(
            value in own.get("class", "").split() if name == "class_" else own.get(name) == value
            for name, value in attributes.items()
        )

    def _below(self) -> Iterator[Element]:
        for part in self.inside:
            if isinstance(part, Element):
                yield part
                yield from part._below()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in EMPTY:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def parse(page: str) -> Element:
    """The whole page; every tag that is opened must be closed."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    (root,) = parser.open
    return root


def picture(source: str) -> Image.Image:
    """The picture of a data URI."""
    head, _, data = source.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(BytesIO(base64.b64decode(data)))


def shades(source: str) -> Tensor:
    """The grey levels [H, W] of a data URI, 0 … 1."""
    return torch.from_numpy(np.asarray(picture(source).convert("L")).copy()).float() / 255


def checked(page: str) -> Element:
    """The page, after what must hold of all: whole in one file, and usable with a keyboard and without eyes."""
    root = parse(page)
    assert page.startswith("<!DOCTYPE html>\n")
    assert root.one("html")["lang"] == "en"
    assert not root.all("link") + root.all("iframe") + root.all("object") + root.all("base")
    for element in root.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"{element.tag} has {name}"
            assert name != "style", "the page's policy refuses styles of single elements"
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert value.startswith(("data:image/", "#")), f"{element.tag} asks for {value[:40]}"
    style, script = root.one("style").text, root.one("script")
    assert not re.search(r"@import|url\(|https?:", style)
    assert "src" not in script.attributes
    assert not re.search(r"https?:|fetch|XMLHttpRequest|import", script.text)
    ids = [element["id"] for element in root.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for link in root.all("a"):
        assert link["href"].removeprefix("#") in ids
    for image in root.all("img"):
        assert image["alt"]
        assert picture(image["src"]).size > (0, 0)
    for drawn in root.all("svg", role="img"):
        assert drawn["aria-label"]
    for table in root.all("table"):
        assert table.all("th")
        assert all(header["scope"] in ("col", "row") for header in table.all("th"))
    for region in root.all(role="region"):
        assert region["tabindex"] == "0"
        assert region.attributes.get("aria-label") or region["aria-labelledby"] in ids
    for entry in root.all("input") + root.all("select"):
        assert any(entry in label.all() for label in root.all("label"))
    return root
