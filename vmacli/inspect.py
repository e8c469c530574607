"""`vma inspect`: pictures of one's own beside the drawings that a model makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from vmacli import options
from vmacli.memories import no_picture
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses()
def inspect(
    session: Session,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE…", help="Pictures, or folders of them.", show_default=False)
    ],
    frame: options.Frame = None,
    size: Annotated[int, typer.Option("--size", min=4, max=512, help="Pixels of a drawing's side, as a model's.")] = 26,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="PNG to write besides.", show_default=False)
    ] = None,
) -> None:
    """Show pictures before and after: what a model reads of them. Exit code 1 if one can't be read."""
    with reporting(session) as output:
        from vmacore.data.inspection import inspect_pictures, preview, save_sheet
        from vmacore.data.pictures import Preparation
        from vmacore.errors import VmaError

        preparation = Preparation((size, size), frame or "ink")
        found = inspect_pictures(images, preparation)
        if not found:
            raise VmaError(no_picture(images))
        options.check_apart([item.path for item in found], out=out)
        shown: list[RenderableType] = []
        for item in found:
            shown.append(f"{item.path}: {item.words}")
            if item.finer is not None:
                shown += [preview(item, output.width), ""]
        if not any(item.finer is not None for item in found):
            out = None  # nothing to show, and an earlier picture may be there
        if out is not None:
            save_sheet(found, out)
            shown.append(str(out))
        rows: list[dict[str, Any]] = [
            {"file": str(item.path)} | ({"error": item.words} if item.finer is None else item.numbers())
            for item in found
        ]
        document = {
            "command": "inspect",
            "preparation": preparation.to_dict(),
            "image": None if out is None else str(out),
            "results": rows,
        }
        bare = "\n".join(f"{item.path}\t{'error' if item.finer is None else f'{item.ink:.4f}'}" for item in found)
        output.result(document, shown, bare)
        failed = [item for item in found if item.finer is None]
        for item in failed if session.as_json or session.quiet else []:
            output.note(f"{item.path}: {item.words}")
    if failed:
        raise typer.Exit(1)
