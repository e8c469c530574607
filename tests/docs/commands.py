"""The commands that a page shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A command as a process of several: what torchrun starts is `vma` too.
STARTED = re.compile(r"^torchrun .*?(?:-m vmacli|\$\(which vma\)) ")
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)


def pages() -> list[Path]:
    """All pages but the diary, whose commands are those of their day."""
    docs = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "notes" not in page.parts]
    cards = sorted((ROOT / "vmacore" / "weights").glob("*/README.md"))
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "data" / "README.md",
        *docs,
        *cards,
    ]


def shown(page: Path) -> list[str]:
    """The commands in blocks, one a line, in their order, as they stand but for `$` and how torchrun is called."""
    text = page.read_text("utf-8")
    blocks = "\n".join(BLOCK.findall(text))
    indented = "\n".join(line[4:] for line in BLOCK.sub("", text).splitlines() if line.startswith("    "))
    lines = (STARTED.sub("vma ", line.removeprefix("$ ")) for line in (blocks + "\n" + indented).splitlines())
    return [line for line in lines if line.startswith("vma ")]


def mentioned(page: Path) -> Iterator[str]:
    """The commands amid text, which may leave out what a command needs."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    for words in re.findall(r"`(vma [^`]+)`", text):
        line = " ".join(words.split())
        if not line.endswith("…"):
            yield line


def arguments(line: str) -> list[str]:
    """What follows `vma` on a line, without its comment."""
    name, *rest = shlex.split(line, comments=True)
    assert name == "vma"
    return rest
