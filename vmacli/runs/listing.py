"""`vma runs`, or `vma runs list`: every run with its key numbers, the newest first."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import RenderableType

from vmacli.output import reporting
from vmacli.session import Session, uses
from vmacli.tables.runs import OF_THE_CLASS, no_runs, runs_table


@uses("runs_dir")
def listing(session: Session) -> None:
    """List the runs, the newest first: what of, how far, the best on validation, when saved, how large."""
    with reporting(session) as output:
        from vmacore.runs.summaries import broken_runs, run_summaries

        runs, broken = run_summaries(session.runs_dir), broken_runs(session.runs_dir)
        for run in runs:
            if run.error is not None:
                output.note(f"{run.name}: {run.error}")
        for folder in broken:
            output.note(f"left out: {folder.error}")
        document = {
            "command": "runs",
            "kind": "list",
            "runs_dir": str(session.runs_dir),
            "runs": [asdict(run) for run in runs],
            "broken": [asdict(folder) for folder in broken],
        }
        shown: list[RenderableType] = [runs_table(runs, session.runs_dir)] if runs else [no_runs(session.runs_dir)]
        if any(run.trains == "addresses" for run in runs):
            shown.append(OF_THE_CLASS)
        output.result(document, shown, "\n".join(run.name for run in runs))
