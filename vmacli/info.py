"""`vma info`: versions, devices, and what is found in the data and runs folders."""

from __future__ import annotations

import platform
import textwrap
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from vmacli import completion
from vmacli.output import Output, reporting, table
from vmacli.runs import choose_device
from vmacli.session import Session, uses


@uses("data_dir", "runs_dir", "device")
def info(
    session: Session,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Show what this run was made of instead.",
            show_default=False,
            autocompletion=completion.all_runs,
        ),
    ] = None,
) -> None:
    """Show versions, devices, data sets and runs."""
    with reporting(session) as output:
        if run is not None:
            _show_run(output, run, session.runs_dir)
            return

        from importlib.metadata import version

        import torch

        document: dict[str, Any] = {
            "command": "info",
            "vma": version("vma"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": str(choose_device(session.device)),
            "devices": _devices(),
            "threads": torch.get_num_threads(),
            "data_dir": str(session.data_dir),
            "data": _data(session.data_dir),
            "runs_dir": str(session.runs_dir),
            "runs": _runs(session.runs_dir),
            "shipped": _shipped(),
        }
        head = [
            f"vma {document['vma']}, Python {document['python']}, torch {document['torch']}",
            f"device {document['device']} of {', '.join(document['devices'])}; {document['threads']} threads",
        ]
        shown: list[RenderableType] = [*head, _data_table(document["data"], session.data_dir)]
        if document["runs"]:
            shown.append(_runs_table(document["runs"], session.runs_dir))
        else:
            shown.append(f"no runs in {session.runs_dir}: vma train --dataset glyphs")
        if document["shipped"]:
            names = ", ".join(weights["name"] for weights in document["shipped"])
            shown.append(textwrap.fill(f"shipped weights: {names}", 80, break_on_hyphens=False))
        output.result(document, shown, document["vma"])


def _show_run(output: Output, name: str, runs_dir: Path) -> None:
    from vmacore.runs.finding import find_run

    location = find_run(name, runs_dir=runs_dir)
    config = location.config
    document = {
        "command": "info",
        "run": location.run,
        "kind": location.kind,
        "checkpoint": str(location.path),
        "step": location.step,
        "init": config.init,
        "config": config.model_dump(mode="json"),
    }
    started = "its own initial weights" if config.init is None else config.init
    head = f"{location.kind} {location.run}, step {location.step} of {config.training.steps}, started from {started}"
    output.result(document, [head, str(location.path), "", config.to_toml().rstrip()], str(location.path))


def _devices() -> list[str]:
    import torch

    found = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def _data(data_dir: Path) -> list[dict[str, Any]]:
    """Every data set: whether it can be loaded, and what it is or how to get it."""
    from vmacore.data import DATASETS
    from vmacore.errors import VmaError

    rows = []
    for name in DATASETS:
        found, description = True, "built in"
        if describe := getattr(DATASETS[name], "describe", None):
            try:
                description = describe(data_dir)
            except VmaError as error:
                found, description = False, str(error)
        rows.append({"name": name, "found": found, "description": description})
    return rows


def _runs(runs_dir: Path) -> list[dict[str, Any]]:
    """Every run, the newest first. A checkpoint that can't be read is no reason to hide the others."""
    from vmacore.errors import VmaError
    from vmacore.runs.directory import RunDirectory, read_state
    from vmacore.runs.finding import list_runs, settled

    def state(run: RunDirectory) -> dict[str, Any]:
        step = run.pointed("latest")
        return {} if step is None else read_state(run.checkpoint(step))

    rows = []
    for run in list_runs(runs_dir):
        try:
            latest = settled(partial(state, run))
        except VmaError:
            latest = {}
        best = latest.get("best", {})
        rows.append(
            {
                "name": run.path.name,
                "path": str(run.path),
                "dataset": run.config.data.dataset,
                "protocol": run.config.data.protocol,
                "step": latest.get("step"),
                "steps": run.config.training.steps,
                "best_step": best.get("step"),
                "best_validation_nll": best.get("nll"),
            }
        )
    return rows


def _shipped() -> list[dict[str, Any]]:
    from vmacore.runs.directory import RunDirectory
    from vmacore.runs.finding import shipped_weights

    return [
        {"name": name, "dataset": RunDirectory.open(path).config.data.dataset, "path": str(path)}
        for name, path in shipped_weights().items()
    ]


def _data_table(rows: list[dict[str, Any]], data_dir: Path) -> Table:
    made = table("data", title=f"data in {data_dir}")
    made.add_column("found", no_wrap=True)
    made.add_column("what, or the way to it")
    for row in rows:
        made.add_row(row["name"], "yes" if row["found"] else "no", row["description"])
    return made


def _runs_table(rows: list[dict[str, Any]], runs_dir: Path) -> Table:
    made = table("run", "step", "of", "best", "NLL", title=f"runs in {runs_dir}; best by NLL on validation")
    made.columns[0].no_wrap, made.columns[0].overflow = False, "fold"  # long names give way, not numbers
    made.add_column("data", no_wrap=True)
    for row in rows:
        nll = row["best_validation_nll"]
        made.add_row(
            row["name"],
            _or_dash(row["step"]),
            str(row["steps"]),
            _or_dash(row["best_step"]),
            "–" if nll is None else f"{nll:.2f}",
            " ".join(filter(None, (Path(row["dataset"]).name, row["protocol"]))),
        )
    return made


def _or_dash(number: int | None) -> str:
    return "–" if number is None else str(number)
