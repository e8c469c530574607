"""`vma bench growth`: how the cost of a training step and of a score grows with |M|, K, B and the side of the image."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from vmacli.opening import choose_device
from vmacli.output import figures, reporting, table
from vmacli.session import Session, uses

if TYPE_CHECKING:
    from vmacore.bench.growth import Point


@uses("device")
def command(
    session: Session,
    task: Annotated[Literal["step", "score"] | None, typer.Option("--task", help="One of them alone.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Whose medians are taken, in turns.")] = 5,
) -> None:
    """Show how the cost of a training step and of a score grows with |M|, K, B and the side of the image.

    Otherwise B = 32, K = 4, |M| = 32, 26×26; a score is of 4 targets with K = 100. The paper's network, fresh weights.
    """
    with reporting(session) as output:
        import torch

        from vmacore.bench.growth import AXES, SCORE_AXES, growth
        from vmacore.config import load_recipe

        where = choose_device(session.device)
        with output.progress("rounds", rounds) as progress:
            points = growth(
                load_recipe("omniglot"),
                steps={} if task == "score" else AXES,
                scores={} if task == "step" else SCORE_AXES,
                rounds=rounds,
                device=where,
                progress=progress.update,
            )
        threads = torch.get_num_threads()
        document = {
            "command": "bench",
            "kind": "growth",
            "device": str(where),
            "threads": threads,
            "torch": torch.__version__,
            "rounds": rounds,
            "results": [asdict(point) for point in points],
        }
        axes = dict.fromkeys((point.task, point.axis) for point in points)
        tables = [_table([point for point in points if (point.task, point.axis) == axis]) for axis in axes]
        bare = "\n".join(f"{point.task}\t{point.axis}\t{point.value}\t{figures(point.seconds)}" for point in points)
        output.result(document, [*tables, f"medians of {rounds} rounds on {where}, {threads} threads"], bare)


def _table(points: list[Point]) -> Table:
    """Along one axis."""
    shown = table(f"{points[0].task}, {points[0].axis} =", "ms", "GFLOP needed", "GFLOP/s")
    for point in points:
        rate = point.flops / point.seconds / 1e9
        shown.add_row(str(point.value), figures(1e3 * point.seconds), figures(point.flops / 1e9), f"{rate:.0f}")
    return shown
