"""`vma export`: the averaged weights of a run as a small folder to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmacli import completion
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("runs_dir")
def export(
    session: Session,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run directory or its name, a checkpoint folder, or shipped weights.",
            show_default=False,
            autocompletion=completion.all_runs,
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that is not there yet.", show_default=False)
    ],
) -> None:
    """Export averaged weights in float16, with configuration and a card; every command takes the folder as RUN."""
    with reporting(session) as output:
        from vmacore.errors import VmaError
        from vmacore.runs.card import card, measured_by
        from vmacore.runs.finding import Location, find_run, settled
        from vmacore.runs.weights import export_weights

        if folder.exists():
            raise VmaError(f"{folder} exists already: name a folder that is not there yet")

        def written() -> tuple[Location, str]:
            location = find_run(run, runs_dir=session.runs_dir)
            text = card(location, folder.resolve().name)
            export_weights(location, folder)
            return location, text

        location, text = settled(written)
        (folder / "README.md").write_text(text, "utf-8")
        files = sorted(path.name for path in folder.iterdir())
        size = sum((folder / name).stat().st_size for name in files)
        document = {
            "command": "export",
            "dataset": location.config.data.dataset,
            "protocol": location.config.data.protocol,
            "run": location.run,
            "checkpoint": str(location.path),
            "step": location.step,
            "weights": "averaged",
            "precision": "float16",
            "folder": str(folder),
            "files": files,
            "bytes": size,
        }
        head = f"{location.kind} {location.run}, step {location.step}, averaged weights in float16, {size / 1e6:.1f} MB"
        output.result(document, [head, f"measure it: {measured_by(location.config, str(folder))}"], str(folder))
