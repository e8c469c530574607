"""`vma bench operations`: where the time of a training step and of a score goes, operation by operation."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from vmacli.opening import choose_device
from vmacli.output import figures, reporting, table
from vmacli.session import Session, uses

if TYPE_CHECKING:
    from vmacore.bench.operations import Operation


@uses("device")
def command(
    session: Session,
    task: Annotated[Literal["step", "score"], typer.Option("--task", help="What is taken apart.")] = "step",
    by_shape: Annotated[bool, typer.Option("--shapes", help="Apart by the shapes of the first two tensors.")] = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Operations shown.")] = 20,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Calls whose means are taken.")] = 5,
) -> None:
    """Show where the time of a training step or of a score goes, operation by operation.

    B = 32, K = 4, |M| = 32 for a step; 4 targets, K = 1000, |M| = 32 for a score. The paper's network, fresh weights.
    """
    with reporting(session) as output:
        import torch

        from vmacore.bench.operations import operations, task_call
        from vmacore.config import load_recipe

        where = choose_device(session.device)
        call = task_call(task, load_recipe("omniglot"), where)
        found = operations(call, repeats=repeats, by_shape=by_shape, device=where)
        threads = torch.get_num_threads()
        document = {
            "command": "bench",
            "kind": "operations",
            "task": task,
            "device": str(where),
            "threads": threads,
            "torch": torch.__version__,
            "results": [asdict(operation) for operation in found],
        }
        whole = sum(operation.seconds for operation in found)
        foot = f"{1e3 * whole:.0f} ms in all on {where}, {threads} threads"
        bare = "\n".join(f"{operation.name}\t{figures(operation.seconds)}" for operation in found[:top])
        output.result(document, [_table(found[:top], by_shape), foot], bare)


def _table(found: list[Operation], by_shape: bool) -> Table:
    shown = table("operation", "calls", "ms", "share, %")
    if by_shape:
        shown.add_column("shapes", no_wrap=True)
    for operation in found:
        cells = (
            operation.name,
            f"{operation.calls:.0f}",
            figures(1e3 * operation.seconds),
            f"{100 * operation.share:.1f}",
        )
        shown.add_row(*cells, *([operation.shapes] if by_shape else []))
    return shown
