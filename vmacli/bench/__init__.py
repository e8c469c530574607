"""`vma bench [KIND]`: what takes how long here. A kind is a file of this folder with a `command`."""

from __future__ import annotations

import typer

from vmacli.groups import WithDefault
from vmacore.shelf import Shelf

KINDS = Shelf("vmacli.bench", "benchmark")
DEFAULT = "rates"


class Kinds(WithDefault):
    """Without a kind, the default one."""

    default = DEFAULT


bench = typer.Typer(
    cls=Kinds,
    help=f"Measure what takes how long on this machine; without a KIND, {DEFAULT}.",
    subcommand_metavar="[KIND] [ARGS]...",
)
for kind in KINDS:
    bench.command(kind)(KINDS[kind].command)
