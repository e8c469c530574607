"""`vma memory remove`: fewer classes, and fewer pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from vmacli.memories import WEIGHTS, MemoryFile, changed, open_memory, show_memory
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("data_dir", "runs_dir", "device")
def remove(
    session: Session,
    file: MemoryFile,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…",
            help="Classes, and files of examples as `vma memory show --files` lists them.",
            show_default=False,
        ),
    ],
    weights: Annotated[str | None, WEIGHTS] = None,
) -> None:
    """Remove classes or examples from FILE."""
    with reporting(session) as output:
        with changed(output, file):
            memory, reader = open_memory(output, session, file, weights)
            memory = memory.without(names).calibrated(reader.model)
            memory.save(file)
        show_memory(output, file, memory)
