"""`vma download`: fetches a data set and checks it, or imports a copy that is already here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmacli import options
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("data_dir", "offline")
def download(
    session: Session,
    name: Annotated[
        options.DatasetName,
        typer.Argument(help="Which data set.", show_default=False),
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="Import a copy: a file, a folder or a zip.", show_default=False),
    ] = None,
) -> None:
    """Download a data set, or import it with --from."""
    with reporting(session) as output:
        from vmacore.data import download as sources

        with output.progress("MB") as progress:

            def report(done: int, total: int | None) -> None:
                progress.update(done / 1e6, total and total / 1e6)

            got = sources.download(name, session.data_dir, source, report, offline=session.offline)
        document = {
            "command": "download",
            "dataset": name,
            "path": str(got.path),
            "description": got.description,
            "source": None if source is None else str(source),
        }
        output.result(document, [f"{name}: {got.description}", str(got.path)], str(got.path))
