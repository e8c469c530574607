"""`vma info`: versions, devices, and what is found in the data and runs folders."""

from __future__ import annotations

import platform
import textwrap
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from vmacli import completion
from vmacli.opening import choose_device
from vmacli.output import Output, reporting
from vmacli.session import Session, uses
from vmacli.tables.info import data_table
from vmacli.tables.runs import no_runs


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
            _show_run(output, run, session)
            return

        from importlib.metadata import version

        import torch

        from vmacore.data.available import available
        from vmacore.runs.devices import device_names
        from vmacore.runs.shipped import absent_weights
        from vmacore.runs.summaries import run_summaries, shipped_summaries

        data, runs = available(session.data_dir), run_summaries(session.runs_dir)
        shipped, absent = shipped_summaries(session.data_dir), list(absent_weights(session.data_dir))
        document: dict[str, Any] = {
            "command": "info",
            "vma": version("vma"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": str(choose_device(session.device)),
            "devices": device_names(),
            "threads": torch.get_num_threads(),
            "data_dir": str(session.data_dir),
            "data": [asdict(row) for row in data],
            "runs_dir": str(session.runs_dir),
            "runs": [asdict(row) for row in runs],
            "shipped": [asdict(row) for row in shipped],
            "absent_weights": absent,
        }
        head = [
            f"vma {document['vma']}, Python {document['python']}, torch {document['torch']}",
            f"device {document['device']} of {', '.join(document['devices'])}; {document['threads']} threads",
        ]
        shown: list[RenderableType] = [*head, data_table(data, session.data_dir)]
        if runs:
            shown.append(f"runs in {session.runs_dir}: {len(runs)}, the newest {runs[0].name}; vma runs lists them")
        else:
            shown.append(no_runs(session.runs_dir))
        weights = {"shipped weights": [row.name for row in shipped], "vma download weights": absent}
        lines = [f"{title}: {', '.join(names)}" for title, names in weights.items() if names]
        shown += [textwrap.fill(line, 80, break_on_hyphens=False) for line in lines]
        output.result(document, shown, document["vma"])


def _show_run(output: Output, name: str, session: Session) -> None:
    from vmacore.runs.finding import find_run

    location = find_run(name, runs_dir=session.runs_dir, data_dir=session.data_dir)
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
