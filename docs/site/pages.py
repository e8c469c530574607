"""Hooks of the documentation site: notebooks become pages, and names of the library lead to their reference."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

logging.getLogger("mkdocs.plugins.api-autonav").setLevel(logging.WARNING)  # it has a line for each module

REFERENCE = "reference/"
NAMED = re.compile(r"(?<!\[)`(vmacore(?:\.\w+)+)`")  # a name, as `vmacore.addressing.similarities`
FILED = re.compile(r"(?<!\[)`(vmacore(?:/[a-z0-9_]+)+)\.py`")  # a file, as `vmacore/addressing.py`


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Beside each notebook a page of its cells and stored outputs; the notebook itself stays to be downloaded."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        stem = notebook.src_uri.removesuffix(".ipynb")
        name = stem.rpartition("/")[2]
        body, resources = MarkdownExporter().from_filename(
            str(notebook.abs_src_path), resources={"output_files_dir": f"{name}_files", "unique_key": name}
        )
        files.append(File.generated(config, f"{stem}.md", content=body))
        for path, content in resources["outputs"].items():
            files.append(File.generated(config, f"{stem.removesuffix(name)}{path}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to names of the library and to pages of notebooks; what has no reference fails the build."""
    if page.file.src_uri.startswith(REFERENCE):
        return markdown
    lines, fenced = [], False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            line = linked(line)
        lines.append(line)
    return "\n".join(lines)


def linked(line: str) -> str:
    """A line of text with its links."""
    line = NAMED.sub(r"[`\1`][\1]", line)
    line = FILED.sub(lambda match: f"[`{match[1]}.py`][{match[1].replace('/', '.')}]", line)
    return re.sub(r"\.ipynb\)", ".md)", line)
