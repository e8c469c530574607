"""`vma runs compare`: what differs between two runs, in settings and results."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from vmacli import completion
from vmacli.output import reporting
from vmacli.session import Session, uses
from vmacli.tables.runs import in_words, pairs_table

if TYPE_CHECKING:
    from vmacore.runs.finding import Location


def _of(name: str) -> Any:
    return typer.Argument(
        metavar=name,
        help="A run directory or its name, a checkpoint folder, or shipped weights.",
        show_default=False,
        autocompletion=completion.all_runs,
    )


@uses("data_dir", "runs_dir")
def compare(session: Session, a: Annotated[str, _of("A")], b: Annotated[str, _of("B")]) -> None:
    """Compare two runs: the settings that differ, and the results of both."""
    with reporting(session) as output:
        from vmacore.runs.comparing import compare_runs
        from vmacore.runs.finding import find_run

        one, other = (find_run(name, runs_dir=session.runs_dir, data_dir=session.data_dir) for name in (a, b))
        found = compare_runs(one, other)
        names = [f"{place} {location.run}" for place, location in zip("AB", (one, other), strict=True)]
        document = {
            "command": "runs",
            "kind": "compare",
            "a": _which(one),
            "b": _which(other),
            "settings": [asdict(pair) for pair in found.settings],
            "results": [asdict(pair) for pair in found.results],
        }
        shown: list[RenderableType] = [
            pairs_table("settings that differ", names, found.settings) if found.settings else "no setting differs",
            pairs_table("results", names, found.results),
        ]
        for location in (one, other):
            if location.config.objective.trains == "addresses":
                shown.append(f"{location.run} trains addresses alone: its NLL is of the class")
        pairs = found.settings + found.results
        lines = ("\t".join((pair.key, in_words(pair.key, pair.a), in_words(pair.key, pair.b))) for pair in pairs)
        output.result(document, shown, "\n".join(lines))


def _which(location: Location) -> dict[str, Any]:
    return {"run": location.run, "kind": location.kind, "checkpoint": str(location.path), "step": location.step}
