"""The page of an experiment in Markdown, written from its result.json; what was added by hand is kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vmacore.errors import VmaError, reading
from vmacore.experiments.lab.result import Row, cells, grouped
from vmacore.files import content, replace

BEGIN = "<!-- What it says: written by hand, kept when the page is written again -->"
END = "<!-- end -->"
COLUMNS = ("", "paper", "here", "difference", "± s.e.", "steps/full", "note")
LARGEST = 2**26  # bytes of a result or a page
PLACES = ("--out", "--data-dir", "--runs-dir")  # options that name folders of the machine that measured


def read(path: Path) -> dict[str, Any]:
    """The document of a result.json.

    Raises:
        VmaError: there is no such file, or it is no result.
    """
    if not path.exists():
        raise VmaError(f"there is no {path}; run `vma reproduce` first, or name its folder with --out")
    with reading(path, "run it again", "is not a result of `vma reproduce`"):
        document: dict[str, Any] = json.loads(content(path, LARGEST))
        for name in (document["id"], *document["figures"]):
            if name != Path(name).name or name.startswith("."):
                raise ValueError("it names files elsewhere")
        page(document)
    return document


def write_page(document: Mapping[str, Any], source: Path, folder: Path) -> Path:
    """Write ID.md into the folder and copy its pictures there; returns the page.

    document: as in result.json. source: the folder that holds the pictures. What stands between the marks BEGIN and END
    of a page that is there already is kept.

    Raises:
        VmaError: a file cannot be read or written.
    """
    path = folder / f"{document['id']}.md"
    with reading(path, "move it away", "cannot be kept"):
        said = by_hand(content(path, LARGEST).decode()) if path.exists() else ""
    try:
        replace(path, page(document, said).encode())
        for name in pictures(document):
            if source.resolve() != folder.resolve():
                replace(folder / name, (source / name).read_bytes())
    except OSError as error:
        raise VmaError(f"cannot write {path}: {error.filename}: {error.strerror}; choose another folder") from error
    return path


def page(document: Mapping[str, Any], said: str = "") -> str:
    """The page as text. said: what was written by hand."""
    lines = [f"# {document['title']}", "", f"    {command(document.get('invocation', ''))}", ""]
    lines += [f"The paper: {document['paper']}.", ""] if document.get("paper") else []
    lines += [document.get("verdict", ""), "", BEGIN]
    lines += ["", "## What it says", "", said, ""] if said else []
    lines += [END, ""]
    for name in pictures(document):
        lines += [f"![{document['title']}]({name})", ""]
    lines += ["## How it was measured", "", *(f"- {note}" for note in document.get("notes", ())), _machine(document)]
    names = Row.__dataclass_fields__
    rows = [Row(**{name: value for name, value in row.items() if name in names}) for row in document["rows"]]
    for group, members in grouped(rows):
        lines += ["", f"## {group or 'Numbers'}", "", *table(members)]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a table; columns in which no row has anything are left out."""
    texts = [[*cells(row), row.note or "–"] for row in rows]
    shown = [i for i in range(len(COLUMNS)) if any(text[i] != "–" for text in texts)]
    lines = [[COLUMNS[i] for i in shown], ["---"] * len(shown)]
    lines += [[text[i].replace("|", "\\|") for i in shown] for text in texts]
    return ["| " + " | ".join(line) + " |" for line in lines]


def pictures(document: Mapping[str, Any]) -> list[str]:
    """Names of the figures that a page can show."""
    return [name for name in document["figures"] if name.endswith(".png")]


def by_hand(text: str) -> str:
    """What a page says between its marks, without the heading; empty if nothing does."""
    _, _, rest = text.partition(BEGIN)
    said, end, _ = rest.partition(END)
    return said.strip().removeprefix("## What it says").strip() if end else ""


def command(invocation: str) -> str:
    """The command without the options that name folders."""
    words = iter(shlex.split(invocation))
    kept = []
    for word in words:
        if word in PLACES:
            next(words, None)
        elif not word.startswith(tuple(f"{name}=" for name in PLACES)):
            kept.append(word)
    return shlex.join(kept)


def _machine(document: Mapping[str, Any]) -> str:
    parts = [f"on {document['date']}"] if document.get("date") else []
    parts += [f"on {document['device']}"] if document.get("device") else []
    parts += [f"threads: {document['threads']}"] if "threads" in document else []
    parts += [f"{name} {version}" for name, version in document.get("versions", {}).items()]
    parts += [f"{document['seconds']:,.0f} s"] if "seconds" in document else []
    return f"- Measured {', '.join(parts)}." if parts else ""
