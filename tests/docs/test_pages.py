"""Links lead somewhere on the code host, the site builds without a warning, and the notebook runs as it is stored."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.commands import BLOCK, ROOT, pages

NOTEBOOK = ROOT / "docs" / "notebooks" / "first-steps.ipynb"
NUMBER = re.compile(r"-?\d+\.?\d*")


def needs(*modules: str) -> None:
    """Skip where what makes the site, or runs notebooks, is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install -e '.[dev,docs]')")


def anchors(page: Path) -> set[str]:
    """What a code host calls the headings of a page: small letters, numbers and dashes."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*pages(), ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Pages in the navigation, links, anchors, names of the library in text, docstrings of the reference."""
    needs("mkdocs", "material", "mkdocstrings_handlers.python", "mkdocs_api_autonav", "nbconvert")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 100
    loaded = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?://")
    assert [page for page in pages if loaded.search(page.read_text("utf-8"))] == []  # nothing from elsewhere
    reference = (tmp_path / "site" / "reference" / "vmacore" / "objectives.html").read_text("utf-8")
    assert "<strong>log_qa</strong>" in reference  # arguments are listed
    assert "first-steps_files/" in (tmp_path / "site" / "notebooks" / "first-steps.html").read_text("utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own
def test_notebook_gives_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("nbformat", "nbclient", "ipykernel")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "here").mkdir()
    stored = nbformat.read(NOTEBOOK, as_version=4)
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path / "here")}}).execute()
    for before, after in zip(stored.cells, book.cells, strict=True):
        assert pictures(after) == pictures(before)
        was, now = printed(before), printed(after)
        assert NUMBER.sub("#", " ".join(now.split())) == NUMBER.sub("#", " ".join(was.split()))
        # Another processor rounds otherwise, and an accuracy moves by some points.
        assert numbers(now) == pytest.approx(numbers(was), rel=0.05, abs=0.2)
    assert not list((tmp_path / "here").iterdir())


def printed(cell: Any) -> str:
    """What a cell printed. In how many pieces it came depends on the machine's pace."""
    return "".join(output.text for output in cell.get("outputs", []) if output.output_type == "stream")


def pictures(cell: Any) -> list[str]:
    """The other outputs of a cell, by their type."""
    return [output.output_type for output in cell.get("outputs", []) if output.output_type != "stream"]


def numbers(text: str) -> list[float]:
    """All numbers in it."""
    return [float(number) for number in NUMBER.findall(text)]
