"""`vma reproduce`: runs an experiment of the paper and sets what it finds beside the paper's numbers."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from vmacli.output import Output, reporting, table
from vmacli.processes import stopping
from vmacli.runs import choose_device
from vmacli.session import Session, uses

if TYPE_CHECKING:
    from vmacore.experiments.lab.result import Result

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
        from vmacore.experiments import about, run

        known = about(experiment)
        folder = out / known.id
        from vmacore.experiments.lab.page import read, write_page

        if docs is not None:
            path = str(write_page(read(folder / "result.json"), folder, docs))
            output.result({"command": "reproduce", "id": known.id, "page": path}, [f"written to {path}"], path)
            return
        from vmacore.experiments.lab.lab import Lab, Stopped
        from vmacore.experiments.lab.result import write
        from vmacore.files import folder_for

        where = choose_device(session.device)
        output.note(f"{known.title}; the paper: {known.paper}; on {where}")
        began = time.monotonic()
        with folder_for(folder), stopping() as stop:
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
                result = run(known.id, lab)
            except Stopped:
                output.note("interrupted; what was trained is saved, and the same command goes on")
                raise typer.Exit(stop.exit_code) from None
        from importlib.metadata import version

        import torch

        head = {
            "command": "reproduce",
            "id": known.id,
            "title": known.title,
            "paper": known.paper,
            "budget_s": limit,
            "seconds": round(time.monotonic() - began, 1),
            "date": time.strftime("%Y-%m-%d"),
            "seeds": seeds,
            "steps_asked": steps,
            "device": str(where),
            "threads": torch.get_num_threads(),
            "versions": {"vma": version("vma"), "torch": torch.__version__},
        }
        document = write(folder, result, head, _invocation())
        write_page(document, folder, folder)
        bare = "\n".join(f"{_name(row.group, row.label)}: {row.ours}" for row in result.rows)
        output.result(document | {"folder": str(folder)}, _shown(result, folder), bare)


def _invocation() -> str:
    return shlex.join(["vma", *sys.argv[1:]])


def _list(output: Output) -> None:
    from vmacore.experiments import EXPERIMENTS

    made = table("experiment", "what", "data", "takes about")
    for column in made.columns[1:]:
        column.justify = "left"
    made.columns[1].no_wrap = False
    for one in EXPERIMENTS:
        made.add_row(one.id, one.title, "\n".join(one.data) or "none", one.takes)
    listed = [
        {"id": one.id, "title": one.title, "paper": one.paper, "data": list(one.data), "takes": one.takes}
        for one in EXPERIMENTS
    ]
    after = (
        "Times are those of two cores, with trainings as the recipes have them: --budget ends sooner, --steps later."
    )
    document = {"command": "reproduce", "experiments": listed}
    output.result(document, [made, after], "\n".join(one.id for one in EXPERIMENTS))


def _shown(result: Result, folder: Path) -> list[RenderableType]:
    from vmacore.experiments.lab.result import grouped, notes, verdict

    shown: list[RenderableType] = [_table(group, rows) for group, rows in grouped(result.rows)]
    return [*shown, verdict(result), *(f"– {note}" for note in notes(result)), f"written to {folder}"]


PAPER_WIDTH = 12  # letters of a line of what the paper says


def _table(group: str, rows: list[Any]) -> Table:
    from vmacore.experiments.lab.result import cells

    columns = ("", "paper", "ours", "difference", "± s.e.", "steps/full")
    made, texts = table(*columns, title=group or None), [cells(row) for row in rows]
    # Words are broken here: left to wrap, the columns of words would not give way to the numbers.
    numbers = [max(len(name), *(len(text[i]) for text in texts)) for i, name in enumerate(columns) if i > 1]
    paper = max(len("paper"), *(min(len(text[1]), PAPER_WIDTH) for text in texts))
    for label, claim, *others in texts:
        name = textwrap.fill(label, max(8, 80 - sum(numbers) - paper - 3 * len(columns)))
        made.add_row(name, textwrap.fill(claim, paper), *others)
    return made


def _name(group: str, label: str) -> str:
    return f"{group}, {label}" if group else label
