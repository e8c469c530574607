"""What the shell offers for words that are no fixed choice. Nothing here imports torch: the shell waits for it."""

from __future__ import annotations

import os
from pathlib import Path

import typer

import vmacore


def own_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs in the runs folder that begin so."""
    folder = Path(ctx.params.get("runs_dir") or os.environ.get("VMA_RUNS") or "runs")
    return _beginning(incomplete, [file.parent.name for file in folder.glob("*/config.toml")])


def all_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs that begin so, shipped weights among them."""
    shipped = Path(vmacore.__file__).parent.glob("weights/*/state.json")
    return own_runs(ctx, incomplete) + _beginning(incomplete, [file.parent.name for file in shipped])


def recipes(incomplete: str) -> list[str]:
    """Names of recipes that begin so."""
    from vmacore.config import recipe_names

    return _beginning(incomplete, recipe_names())


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    # Half-made runs begin with a dot.
    return sorted(name for name in names if name.startswith(incomplete) and not name.startswith("."))
