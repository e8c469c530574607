"""`vma bench [KIND]`: what takes how long here. A kind is a file of this folder with a `command`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from vmacore.shelf import Shelf

KINDS = Shelf("vmacli.bench", "benchmark")
DEFAULT = "rates"


class Kinds(TyperGroup):
    """A group that takes options without a kind as those of the default one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The same with a kind in front."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(
    cls=Kinds,
    help=f"Measure what takes how long on this machine; without a KIND, {DEFAULT}.",
    subcommand_metavar="[KIND] [ARGS]...",
)
for kind in KINDS:
    bench.command(kind)(KINDS[kind].command)
