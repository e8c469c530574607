"""`vma memory add`: more classes, and more pictures of those there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmacli.memories import WEIGHTS, MemoryFile, changed, note_left_out, open_memory, show_memory
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("data_dir", "runs_dir", "device")
def add(
    session: Session,
    file: MemoryFile,
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR|IMAGE…",
            help="Folders with a folder of pictures for each class; with --class pictures, or folders of them.",
            show_default=False,
        ),
    ],
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class of all these.", show_default=False)
    ] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
) -> None:
    """Add pictures to FILE, prepared as those it holds. One that it holds already is read anew."""
    with reporting(session) as output:
        from vmacore.data.folders import read_class, read_folder
        from vmacore.errors import VmaError

        if class_name is None and (files := [path for path in pictures if path.is_file()]):
            raise VmaError(f"{files[0]} is no folder of classes: say which class it is of (--class NAME)")
        with changed(output, file):
            memory, reader = open_memory(output, session, file, weights)
            preparation, known = memory.preparation, len(memory)
            if class_name is None:
                found = [read_folder(folder, preparation) for folder in pictures]
            else:
                found = [read_class(pictures, class_name, preparation)]
            for more in found:
                note_left_out(output, more.left_out)
                memory = memory.joined(reader.read(more.characters, preparation))
            memory = memory.calibrated(reader.model)
            memory.save(file)
        if again := known + sum(len(more.characters.images) for more in found) - len(memory):
            output.note(f"read anew: {again} pictures that were in memory under the same names")
        show_memory(output, file, memory)
