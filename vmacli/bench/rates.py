"""`vma bench`, or `vma bench rates`: how fast this machine is at each task, beside the reference and the floor."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from vmacli.opening import choose_device
from vmacli.output import figures, reporting, table
from vmacli.session import Session, uses

if TYPE_CHECKING:
    from vmacore.bench import Measured, Report

SECONDS, SECONDS_QUICK = 60.0, 15.0


@uses("device")
def command(
    session: Session,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds: sooner, and less exact.")] = False,
) -> None:
    """Measure the speed of training, scoring, classifying and sampling, with the paper's network on random images."""
    with reporting(session) as output:
        from vmacore.bench import QUICK, measure

        where = choose_device(session.device)
        output.note(f"measuring on {where}, in turns with the reference; other work on this machine disturbs it")
        with output.progress("rounds") as progress:
            found = measure(
                seconds=SECONDS_QUICK if quick else SECONDS,
                sizes=QUICK if quick else None,
                device=where,
                progress=progress.update,
            )
        bare = "\n".join(f"{one.name}\t{figures(one.value, 4)}\t{one.unit}" for one in found.results)
        output.result(_document(found), [_table(found), _explained(found)], bare)


def _document(found: Report) -> dict[str, Any]:
    import torch

    return {
        "command": "bench",
        "kind": "rates",
        "device": found.device,
        "threads": found.threads,
        "machine": platform.machine(),
        "torch": torch.__version__,
        "rounds": found.rounds,
        "rate": {"flop_per_s": found.rates[found.best], "reached_by": found.best},
        "rates": found.rates,
        "results": [asdict(one) | {"ratio": one.ratio, "times_floor": one.times_floor} for one in found.results],
    }


def _table(found: Report) -> Table:
    made = table("", "value", "unit", "reference", "ratio", "floor", "× floor")
    made.columns[2].justify = "left"
    for one in found.results:
        made.add_row(
            one.name,
            figures(one.value),
            one.unit,
            figures(one.reference),
            f"{figures(one.ratio, 2)}×",
            figures(one.floor),
            f"{one.times_floor:.2f}",
        )
    return made


def _explained(found: Report) -> Text:
    lines = [f"{one.name}: {one.what}; {_flops(one)}" for one in found.results]
    lines += [
        "reference: the same model written plainly, nothing shared",
        f"floor: the operations needed, at the best rate of this run, {found.rates[found.best] / 1e9:.0f} GFLOP/s:",
        f"  {found.best}",
        f"medians of {found.rounds} rounds on {found.device}, {found.threads} threads",
    ]
    return Text("\n".join(lines))


def _flops(one: Measured) -> str:
    return f"{figures(one.flops / 1e9)} GFLOP each" if one.flops >= 1e9 else f"{figures(one.flops / 1e6)} MFLOP each"
