"""What the shell offers for words that are no fixed choice. Nothing here imports torch: the shell waits for it.

Typer leaves out the names that do not begin with what was typed.
"""

from __future__ import annotations

import os
from pathlib import Path

import typer

from vmacore.runs.shipped import published, shipped_weights
from vmacore.shelf import DATASETS


def own_runs(ctx: typer.Context) -> list[str]:
    """Names of the runs in the runs folder. A run that is half made begins with a dot."""
    folder = Path(ctx.params.get("runs_dir") or os.environ.get("VMA_RUNS") or "runs")
    return sorted(file.parent.name for file in folder.glob("[!.]*/config.toml"))


def all_runs(ctx: typer.Context) -> list[str]:
    """Names of the runs in the runs folder, then of shipped weights."""
    return own_runs(ctx) + list(shipped_weights(ctx.params.get("data_dir")))


def published_weights() -> list[str]:
    """Names of weights that can be downloaded."""
    return list(published())


def datasets() -> list[str]:
    """Names of data sets."""
    return list(DATASETS)


def recipes() -> list[str]:
    """Names of recipes."""
    from vmacore.config import recipe_names

    return recipe_names()
