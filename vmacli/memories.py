"""Memories of pictures in files: opening one with the weights that made it, and showing it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from vmacli import completion
from vmacli.opening import OpenRun, choose_device
from vmacli.options import Wanted
from vmacli.output import Output, table
from vmacli.session import Session

if TYPE_CHECKING:
    from vmacore.memory.pictures import PictureMemory
    from vmacore.runs.reader import Reader

MemoryFile = Annotated[Path, typer.Argument(metavar="FILE", help="The memory, a file.", show_default=False)]
WEIGHTS = typer.Option(
    "--weights",
    metavar="NAME|RUN",
    help="The weights that read the pictures: a run, a checkpoint folder or shipped weights.",
    autocompletion=completion.all_runs,
)


def open_reader(output: Output, session: Session, name: str | None, folder: Path | None = None) -> Reader:
    """Weights by name, else the newest run that was trained on a folder, else shipped weights; says which.

    Raises:
        VmaError: there are none of that name, or they cannot read new pictures.
    """
    from vmacore.runs import reader

    opened = reader.open_reader(
        name,
        runs_dir=session.runs_dir,
        data_dir=session.data_dir,
        folder=folder,
        device=choose_device(session.device),
    )
    _say_which(output, opened)
    return opened


def open_memory(output: Output, session: Session, file: Path, weights: str | None) -> tuple[PictureMemory, Reader]:
    """A memory and the weights that made its keys: those that it names, unless they are elsewhere now; says which.

    Raises:
        VmaError: there is no such memory, or other weights made its keys.
    """
    from vmacore.runs.reader import open_memory_with_reader

    memory, reader = open_memory_with_reader(
        file,
        weights,
        runs_dir=session.runs_dir,
        data_dir=session.data_dir,
        device=choose_device(session.device),
    )
    _say_which(output, reader)
    return memory, reader


def _say_which(output: Output, reader: Reader) -> None:
    location = reader.location
    output.note(f"{location.kind} {location.run}, step {location.step}, averaged weights, on {reader.device}")


def run_of_memory(output: Output, wanted: Wanted, session: Session, file: Path, name: str | None) -> OpenRun:
    """The weights that are wanted, else those that a memory names, with its drawings, or those of a class, as data.

    Raises:
        VmaError: there is no such memory or run, or the run can't read or draw such drawings.
    """
    from vmacore.errors import VmaError
    from vmacore.runs.opening import open_run_on_memory

    if wanted.dataset or wanted.frame:
        raise VmaError("a memory in a file has its pictures prepared: leave out --dataset and --frame")
    run = open_run_on_memory(
        file,
        wanted.run,
        classes=None if name is None else [name],
        runs_dir=session.runs_dir,
        data_dir=session.data_dir,
        weights=session.weights,
        device=choose_device(session.device),
        tell=output.note,
    )
    return OpenRun(run, session)


def changed(output: Output, file: Path) -> AbstractContextManager[None]:
    """Keeps other commands from changing a memory until it is saved."""
    from vmacore.memory.changing import changing

    return changing(file, lambda: output.note(f"waiting for another command that changes {file}"))


def no_picture(paths: Sequence[Path]) -> str:
    """What to say where folders are empty."""
    return f"there is no picture in {', '.join(map(str, paths))}: give pictures, or folders of them"


def note_left_out(output: Output, lines: Sequence[str]) -> None:
    """Which files of a folder are left out, and why; many are counted."""
    from vmacore.data.folders import in_words

    for line in in_words(lines):
        output.note(line)


def show_memory(output: Output, file: Path, memory: PictureMemory, *, files: bool = False) -> None:
    """The classes of a memory, and what made it; also every example, where asked for."""
    counts = dict(zip(memory.classes, memory.counts.tolist(), strict=True))
    examples = [(memory.classes[c], name) for c, name in zip(memory.labels.tolist(), memory.files, strict=True)]
    document: dict[str, Any] = {
        "command": "memory",
        "memory": str(file),
        "classes": [{"name": name, "slots": slots} for name, slots in counts.items()],
        "slots": len(memory),
        "weights": memory.run,
        "fingerprint": memory.made_by,
        "preparation": memory.preparation.to_dict(),
    }
    if files:
        document["examples"] = [{"label": name, "file": path} for name, path in examples]
    rows = table("class", "file" if files else "slots")
    for column in rows.columns:
        column.no_wrap, column.overflow = False, "fold"
    listed = examples if files else [(name, str(slots)) for name, slots in counts.items()]
    for name, told in listed:
        rows.add_row(name, told)
    heading = f"{file}: {len(memory)} slots of {len(counts)} classes, keys by {memory.run}"
    shown: list[RenderableType] = [heading, memory.preparation.in_words(), rows]
    output.result(document, shown, "\n".join(f"{name}\t{told}" for name, told in listed))
