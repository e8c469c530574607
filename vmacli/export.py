"""`vma export`: the averaged weights of a run as a small folder to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmacli import completion
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("data_dir", "runs_dir")
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
        from vmacore.runs.card import measured_by
        from vmacore.runs.exporting import export_run

        found = export_run(run, folder, runs_dir=session.runs_dir, data_dir=session.data_dir)
        location = found.location
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
            "files": list(found.files),
            "bytes": found.bytes,
        }
        size = f"averaged weights in float16, {found.bytes / 1e6:.1f} MB"
        head = f"{location.kind} {location.run}, step {location.step}, {size}"
        output.result(document, [head, f"measure it: {measured_by(location.config, str(folder))}"], str(folder))
