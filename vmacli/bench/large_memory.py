"""`vma bench large-memory`: what memories of a thousand to a million slots cost, each size in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from vmacli import options
from vmacli.opening import open_run
from vmacli.output import Output, figures, reporting, table
from vmacli.session import Session, uses

if TYPE_CHECKING:
    from vmacore.bench.large_memory import Costs

SIZES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Measured:
    """What is measured of every size."""

    targets: Annotated[int, typer.Option("--targets", min=2, help="Targets whose bound is estimated.")] = 32
    samples: Annotated[int, typer.Option("--samples", min=1, help="K of the bound.")] = 100
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Whose medians are taken, in turns.")] = 9


@uses("data_dir", "runs_dir", "weights", "offline")
def command(
    session: Session,
    wanted: options.Wanted,
    measured: Measured,
    size: Annotated[
        list[int] | None,
        typer.Option("--size", min=1, help="Slots; repeatable.", show_default="a thousand to a million"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Where memories are kept.", show_default="large-memory in the data folder"),
    ] = None,
) -> None:
    """Measure large memories of a few-shot run: building, a query beside its matrix product, accuracy, a bound.

    Slots are drawings of the run's test classes with random shifts and slants, none of a target's own drawing. Building
    takes about a quarter of a millisecond a slot, four minutes for a million; a memory that was built is kept.
    """
    with reporting(session) as output:
        sizes = list(size or SIZES)
        folder = cache or session.data_dir / "large-memory"
        if len(sizes) == 1:
            document = _measure(output, session, wanted, measured, sizes[0], folder)
        else:  # each in its own process, so that the peak of memory is its own
            documents = [_apart(session, wanted, measured, one, folder) for one in sizes]
            document = documents[0] | {"results": [one["results"][0] for one in documents]}
        rows = document["results"]
        bare = "\n".join(f"{row['slots']}\t{figures(row['queries'][0]['query'])}" for row in rows)
        foot = (
            f"{document['run']}, {document['threads']} threads; bounds of {rows[0]['bound']['targets']} targets; "
            f"medians of {measured.rounds} rounds in turns"
        )
        output.result(document, [_table(rows), foot], bare)


def _measure(
    output: Output, session: Session, wanted: options.Wanted, measured: Measured, size: int, folder: Path
) -> dict[str, Any]:
    import torch

    from vmacore.bench.large_memory import Variants, costs
    from vmacore.errors import VmaError
    from vmacore.models.vma import VariationalMemoryAddressing

    opened = open_run(output, wanted, replace(session, device="cpu"))
    model = opened.model
    if not isinstance(model, VariationalMemoryAddressing) or model.learned_memory is not None:
        raise VmaError(f"{opened.location.run} reads no drawings into memory: take a few-shot run of the vma system")
    with output.progress("slots", size) as progress:
        found: Costs = costs(
            model,
            Variants(opened.characters("test"), size),
            folder / Path(opened.dataset.name).name,
            **vars(measured),
            progress=progress.update,
        )
    return opened.document("bench", split="test") | {
        "kind": "large-memory",
        "threads": torch.get_num_threads(),
        "results": [asdict(found)],
    }


def _apart(session: Session, wanted: options.Wanted, measured: Measured, size: int, folder: Path) -> dict[str, Any]:
    """The document of one size; the other process says on stderr what it does."""
    arguments = [sys.executable, "-m", "vmacli", "bench", "large-memory", *([wanted.run] if wanted.run else [])]
    arguments += ["--dataset", wanted.dataset] if wanted.dataset else []
    arguments += ["--frame", wanted.frame] if wanted.frame else []
    arguments += [word for name, value in vars(measured).items() for word in (f"--{name}", str(value))]
    arguments += ["--data-dir", str(session.data_dir), "--runs-dir", str(session.runs_dir)]
    arguments += ["--weights", session.weights, "--size", str(size), "--cache", str(folder), "--json"]
    flags = {"--offline": session.offline, "--quiet": session.quiet, "--debug": session.debug}
    arguments += [flag for flag, given in flags.items() if given]
    answer = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise typer.Exit(answer.returncode)
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def _table(rows: list[dict[str, Any]]) -> Table:
    """A column for each size."""
    shown = table("slots", *(f"{row['slots']:,}" for row in rows))

    def line(name: str, cells: list[str]) -> None:
        shown.add_row(name, *cells)

    line("build, ms a slot", [figures(row["build_ms_per_slot"]) for row in rows])
    line("file, bytes a slot", [f"{row['bytes_per_slot']:.0f}" for row in rows])
    line("open, ms", [figures(row["open_ms"]) for row in rows])
    for position, times in enumerate(rows[0]["queries"]):
        queries = [row["queries"][position] for row in rows]
        line(f"query, B = {times['targets']}, ms", [figures(1e3 * query["query"]) for query in queries])
        line("  its matrix product, ms", [figures(1e3 * query["product"]) for query in queries])
        line("  ratio", [f"{query['ratio']:.2f}" for query in queries])
        line("  embedding the targets, ms", [figures(1e3 * query["embedding"]) for query in queries])
    line("peak resident memory, MB", [f"{row['peak_mb']:.0f}" for row in rows])
    line(f"accuracy, {rows[0]['classes']}-way, %", [f"{100 * row['accuracy']:.1f}" for row in rows])
    line("  half a 95 % interval", [f"{100 * row['accuracy_ci95']:.1f}" for row in rows])
    bounds = [row["bound"] for row in rows]
    line(f"NLL, K = {bounds[0]['samples']}", [f"{bound['nll']:.2f}" for bound in bounds])
    line("  standard error", [f"{bound['nll_se']:.2f}" for bound in bounds])
    line("  KL_a", [f"{bound['kl_address']:.2f}" for bound in bounds])
    line("  KL_z", [f"{bound['kl_latent']:.2f}" for bound in bounds])
    line("  seconds", [f"{row['bound_seconds']:.1f}" for row in rows])
    return shown
