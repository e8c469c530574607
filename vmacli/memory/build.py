"""`vma memory build`: a folder of pictures as a memory in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmacli import options
from vmacli.memories import WEIGHTS, MemoryFile, changed, note_left_out, open_reader, show_memory
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("data_dir", "runs_dir", "device")
def build(
    session: Session,
    file: MemoryFile,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder with a folder of pictures for each class.", show_default=False),
    ],
    frame: options.Frame = None,
    weights: Annotated[str | None, WEIGHTS] = None,
) -> None:
    """Read a folder of pictures into FILE, in place of what it held."""
    with reporting(session) as output:
        from vmacore.data.folders import read_folder
        from vmacore.memory.pictures import check_file

        check_file(file)
        reader = open_reader(output, session, weights, folder)
        preparation = reader.preparation(frame, folder)
        found = read_folder(folder, preparation)
        note_left_out(output, found.left_out)
        memory = reader.read(found.characters, preparation).calibrated(reader.model)
        with changed(output, file):
            memory.save(file)
        show_memory(output, file, memory)
