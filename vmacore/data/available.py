"""Which data sets can be loaded here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vmacore.errors import VmaError
from vmacore.shelf import DATASETS


@dataclass(frozen=True)
class Available:
    """A data set by name: whether it can be loaded, and what it is or how to get it."""

    name: str
    found: bool
    description: str


def available(data_dir: Path) -> list[Available]:
    """Every data set."""
    rows = []
    for name in DATASETS:
        found, description = True, "built in"
        if describe := getattr(DATASETS[name], "describe", None):
            try:
                description = describe(data_dir)
            except VmaError as error:
                found, description = False, str(error)
        rows.append(Available(name, found, description))
    return rows
