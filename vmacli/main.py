"""The `vma` command: its parts, and how it is started."""

import io
import sys
from typing import Annotated

import typer

from vmacli.bench import bench
from vmacli.classify import classify
from vmacli.download import download
from vmacli.export import export
from vmacli.groups import Commands
from vmacli.identify import identify
from vmacli.info import info
from vmacli.inspect import inspect
from vmacli.memory import memory
from vmacli.report import report
from vmacli.reproduce import reproduce
from vmacli.runs import runs
from vmacli.sample import sample
from vmacli.score import score
from vmacli.train import train

app = typer.Typer(
    cls=Commands,
    help="Variational memory addressing: generative models of images that read from an external memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (download, train, score, sample, classify, identify, inspect, report, export, reproduce, info):
    app.command()(command)
app.add_typer(runs, name="runs")
app.add_typer(memory, name="memory")
app.add_typer(bench, name="bench")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # slow to import

        typer.echo(f"vma {version('vma')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options follow the command: vma score --json."""


def run() -> None:
    """Like `app()`, on streams that never fail for want of a letter."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
