"""`vma sample`: images drawn from the model, a row for each memory slot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import RenderableType

from vmacli import options
from vmacli.output import reporting
from vmacli.runs import open_run


def sample(
    run: options.Run = None,
    dataset: options.OfDataset = None,
    memory_from: Annotated[
        Literal["train", "validation", "test", "learned"],
        typer.Option("--memory-from", help="Where the images in memory come from."),
    ] = "test",
    classes: options.Classes = 8,
    shots: options.Shots = 1,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, max=1000, help="Rows of the grid.", show_default="one for each slot"),
    ] = None,
    columns: Annotated[int, typer.Option("--columns", min=1, max=1000, help="Samples in each row.")] = 8,
    address: Annotated[
        Literal["shared", "prior"],
        typer.Option("--address", help="Rows go through the slots, or draw theirs from p(a)."),
    ] = "shared",
    pixels: Annotated[
        Literal["mean", "sample"],
        typer.Option("--pixels", help="Show Bernoulli means, or pixels drawn from them."),
    ] = "mean",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="PNG to write.", show_default="samples-RUN.png"),
    ] = None,
    data_dir: options.DataDir = Path("data"),
    runs_dir: options.RunsDir = Path("runs"),
    device: options.Device = "auto",
    seed: options.Seed = 0,
    weights: options.Weights = "averaged",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    debug: options.Debug = False,
) -> None:
    """Sample a grid of images: the left column is the memory slot, the row is drawn from it."""
    with reporting(as_json=as_json, quiet=quiet, debug=debug) as output:
        from vmacore.evaluation.sampling import preview, sample_grid, save_grid

        opened = open_run(
            output,
            run,
            dataset=dataset,
            weights=weights,
            runs_dir=runs_dir,
            data_dir=data_dir,
            device=device,
            offline=offline,
        )
        grid = sample_grid(
            opened.model,
            None if memory_from == "learned" else opened.characters(memory_from),
            classes=classes,
            shots=shots,
            rows=rows,
            columns=columns,
            seed=seed,
            device=opened.device,
            address=address,
            pixels=pixels,
        )
        image = out or Path(f"samples-{opened.location.run.replace('/', '-')}.png")
        shape = save_grid(grid, image)
        document = opened.document("sample", split=memory_from, seed=seed) | {
            "memory": {"from": memory_from, "classes": classes, "shots": shots},
            "samples": columns,
            "address": address,
            "pixels": pixels,
            "image": str(image),
            "grid": list(shape),
        }
        heading = opened.heading(
            memory_from,
            "learned memory" if memory_from == "learned" else f"memory {classes} classes × {shots} drawings",
            "left: the slot in memory, right: "
            + ("Bernoulli means" if pixels == "mean" else "pixels drawn from their Bernoulli means"),
            "each row's slot in turn" if address == "shared" else "each row's slot drawn from p(a)",
            f"seed {seed}",
        )
        shown: list[RenderableType] = [preview(grid, output.width), heading, str(image)]
        output.result(document, shown, str(image))
