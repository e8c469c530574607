"""The tables of `vma runs`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vmacli.output import figures, nats, table

if TYPE_CHECKING:
    from vmacore.runs.comparing import Pair
    from vmacore.runs.summaries import RunSummary

OF_THE_CLASS = "*: where addresses alone are trained, the NLL is of the class"
# What the results of `vmacore.runs.comparing.results` are called here.
NAMES = {
    "parameters": "parameters",
    "step": "step that commands read",
    "best_step": "best on validation: step",
    "best_nll": "  NLL",
    "best_accuracy": "  5-way 1-shot accuracy",
    "best_kl_address": "  KL_a",
    "best_kl_latent": "  KL_z",
    "last_step": "last of training: step",
    "last_nll": "  NLL",
    "last_kl_address": "  KL_a",
    "last_kl_latent": "  KL_z",
    "steps_per_second": "  steps/s",
}


def no_runs(runs_dir: Path) -> str:
    """What stands in place of a list, and the way to a run."""
    return f"no runs in {runs_dir}: vma train --dataset glyphs"


def runs_table(rows: Sequence[RunSummary], runs_dir: Path) -> Table:
    """Two lines for each run: numbers, and below them what they are of."""
    made = table("run", "step", "best NLL", "5-way", "saved, size", title=f"runs in {runs_dir}; best on validation")
    made.columns[0].no_wrap = False  # long names give way, not numbers
    for row in rows:
        star = "*" if row.trains == "addresses" else ""
        nll, accuracy = row.best_validation_nll, row.best_validation_accuracy
        made.add_row(
            Group(Text(row.name, overflow="fold"), Padding(Text(_trained(row), overflow="fold"), (0, 0, 0, 2))),
            f"{_or_dash(row.step)}\nof {row.steps}",
            "–" if nll is None else f"{nats(nll)}{star}\nat {row.best_step}",
            "–" if accuracy is None else f"{accuracy:.1%}",
            f"{row.saved[:16].replace('T', ' ')}\n{decimal(row.bytes)}",
        )
    return made


def pairs_table(title: str, names: Sequence[str], pairs: Sequence[Pair]) -> Table:
    """A row for each setting or result, a column for each run."""
    made = table("", *names, title=title)
    for column in made.columns[1:]:
        column.no_wrap, column.overflow = False, "fold"
    for pair in pairs:
        made.add_row(NAMES.get(pair.key, pair.key), in_words(pair.key, pair.a), in_words(pair.key, pair.b))
    return made


def in_words(key: str, value: Any) -> str:
    """A setting or result as it is shown; a dash where there is none."""
    if value is None:
        return "–"
    if key == "best_accuracy":
        return f"{value:.1%}"
    if key == "steps_per_second":
        return figures(value)
    if key == "parameters":
        return f"{value:,}"
    if key in NAMES and isinstance(value, float):
        return nats(value)
    return value if isinstance(value, str) else json.dumps(value)


def _trained(row: RunSummary) -> str:
    """The recipe, where there is one, and the data set, where the recipe's name does not begin with it."""
    data = " ".join(filter(None, (Path(row.dataset).name, row.protocol)))
    if row.recipe is None:
        return data
    return (
        f"{row.recipe} {row.protocol or ''}".rstrip() if row.recipe.startswith(row.dataset) else f"{row.recipe}, {data}"
    )


def _or_dash(number: int | None) -> str:
    return "–" if number is None else str(number)
