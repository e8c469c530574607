"""`vma memory show`: what a memory holds."""

from __future__ import annotations

from typing import Annotated

import typer

from vmacli.memories import MemoryFile, show_memory
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses()
def show(
    session: Session,
    file: MemoryFile,
    files: Annotated[bool, typer.Option("--files", help="List the file of every example.")] = False,
) -> None:
    """Show the classes of FILE, how pictures were prepared, and the weights that read them."""
    with reporting(session) as output:
        from vmacore.memory.pictures import open_pictures

        show_memory(output, file, open_pictures(file), files=files)
