"""`vma reproduce`: runs an experiment of the paper and sets what it finds beside the paper's numbers."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmacli.opening import choose_device
from vmacli.output import Output, reporting
from vmacli.processes import stopping
from vmacli.session import Session, uses
from vmacli.tables.reproduce import experiments, row_name, shown_result

UNITS = {"h": 3600, "m": 60, "s": 1}


def budget(text: str) -> float:
    """Seconds in text such as 90s, 30m, 2h or 1h30m."""
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if parts is None or not any(parts.groups()):
        raise typer.BadParameter("write a time such as 90s, 30m, 2h or 1h30m")
    return sum(float(part or 0) * seconds for part, seconds in zip(parts.groups(), UNITS.values(), strict=True))


@uses("data_dir", "runs_dir", "device", "offline")
def reproduce(
    session: Session,
    experiment: Annotated[
        str | None, typer.Argument(metavar="ID", help="An experiment; --list shows them.", show_default=False)
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the experiments.")] = False,
    limit: Annotated[
        float | None,
        typer.Option(
            "--budget",
            parser=budget,
            metavar="TIME",
            help="Train and evaluate for about so long, as 30m or 2h; left out: until it is done.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Trainings of each kind.")] = 1,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, max=10**9, help="Updates of each training; left out: the recipe's.", show_default=False
        ),
    ] = None,
    training: Annotated[
        bool, typer.Option("--train/--no-train", help="Train what is missing, or use what there is.")
    ] = True,
    out: Annotated[Path, typer.Option("--out", help="Where results go, a folder for each experiment.")] = Path(
        "reproduction"
    ),
    docs: Annotated[
        Path | None,
        typer.Option(
            "--docs",
            metavar="FOLDER",
            help="Only write the page of an earlier result, with its figures, into this folder.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Reproduce an experiment of the paper: train what is missing, measure, draw, compare. Ctrl-C saves."""
    if (experiment is None) != listing:
        raise typer.BadParameter("name one experiment, or --list them", param_hint="ID")
    with reporting(session) as output:
        if experiment is None:
            _list(output)
            return
        from vmacore.experiments import about
        from vmacore.experiments.lab.lab import Lab, Stopped
        from vmacore.experiments.reproducing import reproduce as from_training_to_files
        from vmacore.experiments.reproducing import rewrite_page

        known = about(experiment)
        folder = out / known.id
        if docs is not None:
            path = str(rewrite_page(known.id, out, docs))
            output.result({"command": "reproduce", "id": known.id, "page": path}, [f"written to {path}"], path)
            return
        where = choose_device(session.device)
        output.note(f"{known.title}; the paper: {known.paper}; on {where}")
        with stopping() as stop:
            lab = Lab(
                data_dir=session.data_dir,
                runs_dir=session.runs_dir,
                out=folder,
                device=where,
                reporter=output,
                seeds=seeds,
                budget=limit,
                steps=steps,
                training=training,
                offline=session.offline,
                stop=stop,
            )
            try:
                found = from_training_to_files(known.id, lab, _invocation())
            except Stopped:
                output.note("interrupted; what was trained is saved, and the same command goes on")
                raise typer.Exit(stop.exit_code) from None
        rows = found.result.rows
        bare = "\n".join(f"{row_name(row.group, row.label)}: {row.ours}" for row in rows)
        output.result({**found.document, "folder": str(folder)}, shown_result(found.result, folder), bare)


def _invocation() -> str:
    return shlex.join(["vma", *sys.argv[1:]])


def _list(output: Output) -> None:
    from vmacore.experiments import EXPERIMENTS

    listed = [
        {"id": known.id, "title": known.title, "paper": known.paper, "data": list(known.data), "takes": known.takes}
        for known in EXPERIMENTS
    ]
    after = "Times are of two cores and whole trainings; --budget ends sooner, --steps later."
    document = {"command": "reproduce", "experiments": listed}
    output.result(document, [experiments(), after], "\n".join(known.id for known in EXPERIMENTS))
