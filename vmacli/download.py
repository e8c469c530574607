"""`vma download`: fetches a data set or weights and checks them, or imports a copy that is already here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from vmacli import completion
from vmacli.output import reporting
from vmacli.session import Session, uses
from vmacore.shelf import DATASETS

if TYPE_CHECKING:
    What: TypeAlias = str
else:  # the files there are, read when a command starts
    What = Literal[(*DATASETS.names(), "weights")]


@uses("data_dir", "offline")
def download(
    session: Session,
    what: Annotated[What, typer.Argument(help="A data set, or weights.", show_default=False)],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME…",
            help="Which weights; left out: all that are not in the package.",
            show_default=False,
            autocompletion=completion.published_weights,
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="Import a copy: a file, a folder or a zip.", show_default=False),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Another place with the same files.", show_default=False),
    ] = None,
) -> None:
    """Download a data set or weights, or import them with --from."""
    if names and what != "weights":
        raise typer.BadParameter(f"one data set at a time: {names[0]} is one too many", param_hint="NAME")
    if source is not None and url is not None:
        raise typer.BadParameter("give --from or --url", param_hint="--url")
    with reporting(session) as output:
        with output.progress("MB") as progress:

            def report(done: int, total: int | None) -> None:
                progress.update(done / 1e6, total and total / 1e6)

            given: dict[str, Any] = {"offline": session.offline, "base_url": url}
            if what == "weights":
                from vmacore.runs.downloading import download_weights

                got = download_weights(names or [], session.data_dir, source, report, **given)
            else:
                from vmacore.data import download as sources

                got = {what: sources.download(what, session.data_dir, source, report, **given)}
        rows = [{"path": str(done.path), "description": done.description} for done in got.values()]
        document: dict[str, Any] = {"command": "download", "source": None if source is None else str(source)}
        if what == "weights":
            document["weights"] = [{"name": name} | row for name, row in zip(got, rows, strict=True)]
        else:
            document |= {"dataset": what} | rows[0]
        shown = [line for name, done in got.items() for line in (f"{name}: {done.description}", str(done.path))]
        output.result(document, shown, "\n".join(row["path"] for row in rows))
