"""`vma memory`: pictures of classes in a file that grows and shrinks, nothing trained."""

from __future__ import annotations

import typer

from vmacli.memory.add import add
from vmacli.memory.build import build
from vmacli.memory.remove import remove
from vmacli.memory.show import show

memory = typer.Typer(help="Build and change a memory of pictures, a file that vma identify asks.", no_args_is_help=True)
for command in (build, add, remove, show):
    memory.command()(command)
