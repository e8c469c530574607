"""A page: templates filled in, all that it needs inside one file, written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vmacore.errors import VmaError, writing
from vmacore.files import check_writable, replace

SUFFIXES = (".html", ".htm")


def render(template: str, **values: Any) -> str:
    """A page from a template of this room, with style and script inside.

    Every value is escaped, unless it is Markup. The page's policy refuses whatever is not in it: other files, other
    hosts, and scripts and styles whose hashes are not those of the two inside.
    """
    style, script = (Markup(_environment().get_template(name).render()) for name in ("style.css.j2", "filter.js.j2"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    return page.render(style=style, script=script, policy=Markup(policy), version=version("vma"), **values)


def fragment(template: str, **values: Any) -> Markup:
    """A part of a page, such as a chart."""
    return Markup(_environment().get_template(template).render(**values))


def check_page(path: Path) -> None:
    """Find out, before the work, whether a page can be written there.

    Raises:
        VmaError: it cannot.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise VmaError(f"{path}: reports are written as HTML; choose a name that ends in .html")
    with writing(path, "choose another place for the report"):
        check_writable(path)


def save_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all; letters that UTF-8 has no form for become question marks.

    Raises:
        VmaError: it cannot be written.
    """
    with writing(path, "choose another place for the report"):
        replace(path, page.encode("utf-8", "replace"))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("vmacore.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"fixed": fixed, "percent": percent, "maths": maths}
    return made


def fixed(number: float | None, decimals: int = 2) -> str:
    """A number with so many decimals, never −0.00; a dash where there is none."""
    return "–" if number is None or not math.isfinite(number) else f"{number:z,.{decimals}f}".replace("-", "−")


def percent(part: float | None, decimals: int = 1) -> str:
    """A part of 1 in per cent; a dash where there is none."""
    return "–" if part is None or not math.isfinite(part) else f"{100 * part:z.{decimals}f} %"


def maths(text: str) -> Markup:
    """Escaped, with the letters after an underscore of KL_a and its like below the line."""
    return Markup(re.sub(r"\b(KL|h|e)_([a-z])\b", r"\1<sub>\2</sub>", str(escape(text))))


def _hash(text: str) -> str:
    """What a policy calls a script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
