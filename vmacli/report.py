"""`vma report`: a run as one page, to look at or pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmacli import options
from vmacli.opening import open_run
from vmacli.output import reporting
from vmacli.session import Session, uses


@uses("data_dir", "runs_dir", "device", "seed", "weights", "offline")
def report(
    session: Session,
    run: options.Run = None,
    split: options.Split = "test",
    episodes: Annotated[int, typer.Option("--episodes", min=2, help="Tasks of each kind, for accuracy.")] = 200,
    targets: Annotated[int, typer.Option("--targets", min=1, help="Targets of each size of memory, about.")] = 144,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="The page to write.", show_default="report-RUN.html"),
    ] = None,
) -> None:
    """Write a page about a run: learning curves, samples, q(a|x), accuracy, NLL by size of memory, keys, settings."""
    with reporting(session) as output:
        from vmacore.errors import VmaError
        from vmacore.reports.gathering import MODEL, STAGES, Asked, described, measure
        from vmacore.reports.page import check_page, save_page
        from vmacore.reports.run import run_page
        from vmacore.runs.finding import find_run

        location = find_run(run, runs_dir=session.runs_dir, data_dir=session.data_dir)
        page = out or Path(f"report-{location.run.replace('/', '-')}.html")
        check_page(page)
        asked = Asked(split, session.weights, episodes, targets, session.seed)
        try:
            opened = open_run(output, options.Wanted(str(location.source)), session, addresses_suffice=True)
            found = described(opened.location, asked)  # a training may have saved another meanwhile
            with output.progress("parts", len(STAGES)) as progress:
                measure(found, opened.run, lambda stage: progress.update(STAGES.index(stage), detail=stage))
        except VmaError as error:
            found = described(location, asked)
            found.missing.append((MODEL, str(error)))
        for what, why in found.missing:
            output.note(f"not on the page: {what}: {why}")
        save_page(page, run_page(found))
        document = {
            "command": "report",
            "run": location.run,
            "checkpoint": str(found.location.path),
            "step": found.location.step,
            "weights": session.weights,
            "split": split,
            "seed": session.seed,
            "page": str(page),
            "bytes": page.stat().st_size,
            "missing": [{"what": what, "why": why} for what, why in found.missing],
        }
        output.result(document, [str(page)], str(page))
