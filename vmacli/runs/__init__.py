"""`vma runs`: what was trained, and what differs between two of them."""

from __future__ import annotations

import typer

from vmacli.groups import WithDefault
from vmacli.runs.compare import compare
from vmacli.runs.listing import listing

DEFAULT = "list"


class Runs(WithDefault):
    """Without a word more, the list."""

    default = DEFAULT


runs = typer.Typer(
    cls=Runs,
    help="List the runs there are, or compare two; without COMMAND, list.",
    subcommand_metavar="[COMMAND] [ARGS]...",
)
runs.command(DEFAULT)(listing)
runs.command()(compare)
