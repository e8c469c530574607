"""`vma sample`: images drawn from the model, a row for each memory slot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import RenderableType

from vmacli import options
from vmacli.memories import run_of_memory
from vmacli.opening import open_run
from vmacli.output import reporting
from vmacli.session import Session, uses
from vmacore.shelf import is_folder
from vmacore.spelling import choose_one_of

USUAL_CLASSES = 8  # in memory


@dataclass(frozen=True)
class Grid:
    """What the rows and columns of the picture show."""

    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, max=1000, help="Rows of the grid.", show_default="one for each slot"),
    ] = None
    columns: Annotated[int, typer.Option("--columns", min=1, max=1000, help="Samples in each row.")] = 8
    address: Annotated[
        Literal["shared", "prior"],
        typer.Option("--address", help="Rows go through the slots, or draw theirs from p(a)."),
    ] = "shared"
    pixels: Annotated[
        Literal["mean", "sample"],
        typer.Option("--pixels", help="Show Bernoulli means, or pixels drawn from them."),
    ] = "mean"
    temperature: Annotated[
        float,
        typer.Option("--temperature", min=0, help="Of every latent: below 1, samples are more alike; 1 is the model."),
    ] = 1.0
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            min=1,
            max=100,
            help="Of so many images the one with most q(a) is kept; 1 is the model.",
            show_default="4; 64 where latents are maps, 1 where no image in memory is varied",
        ),
    ] = None


SOURCES = ("train", "validation", "test", "learned")


def _split_or_folder(value: str) -> str:
    if value in SOURCES:
        return value
    if Path(value).is_file():
        return str(Path(value).resolve())
    if not is_folder(value):
        raise typer.BadParameter(
            f"there is no {value!r}; {choose_one_of(value, SOURCES)}, or give the path of a folder or memory, such as "
            f"./{value}"
        )
    return str(Path(value).resolve())


@uses("data_dir", "runs_dir", "device", "seed", "weights", "offline")
def sample(
    session: Session,
    wanted: options.Wanted,
    memory_from: Annotated[
        str,
        typer.Option(
            "--memory-from",
            metavar="SPLIT|PATH",
            help="Where the images in memory come from: train, validation, test, learned, a folder with a folder of "
            "pictures for each class, or a file that vma memory wrote.",
            callback=_split_or_folder,
        ),
    ] = "test",
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes", min=1, help="Classes in memory.", show_default=f"{USUAL_CLASSES}, or all where there are fewer"
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option("--shots", min=1, help="Drawings of each class in memory.", show_default="1")
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Of a memory in a file: only this class.", show_default=False),
    ] = None,
    *,
    layout: Grid,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="PNG to write.", show_default="samples-RUN.png"),
    ] = None,
) -> None:
    """Sample a grid of images: the left column is the memory slot, the row is drawn from it."""
    with reporting(session) as output:
        from vmacore.evaluation import sampling
        from vmacore.evaluation.sampling import check_picture, preview, sample_grid, save_grid

        learned = memory_from == "learned"
        if learned and (classes or shots):
            raise typer.BadParameter("a learned memory has slots of its own: leave --classes and --shots out")
        shots = shots or 1
        folder = None
        if memory_from not in SOURCES:
            folder, memory_from = memory_from, "test"
        if folder is not None and Path(folder).is_file():
            opened = run_of_memory(output, wanted, session, Path(folder), class_name)
        elif class_name is not None:
            raise typer.BadParameter("give --class with a memory in a file (--memory-from FILE)")
        else:
            opened = open_run(output, replace(wanted, dataset=folder or wanted.dataset), session)
        image = out or Path(f"samples-{opened.location.run.replace('/', '-')}.png")
        options.check_apart(opened.files if folder is None else [*opened.files, folder], out=image)
        check_picture(image)
        model, temperature, candidates = opened.model, layout.temperature, layout.candidates
        candidates = sampling.usual_candidates(model) if candidates is None else candidates
        characters = None if learned else opened.with_at_least(memory_from, shots, output)
        if classes is None:
            classes = USUAL_CLASSES if characters is None else max(1, min(USUAL_CLASSES, characters.n_classes))
        grid = sample_grid(
            model,
            characters,
            classes=classes,
            shots=shots,
            rows=layout.rows,
            columns=layout.columns,
            seed=session.seed,
            device=opened.device,
            address=layout.address,
            pixels=layout.pixels,
            temperature=temperature,
            candidates=candidates,
        )
        shape = save_grid(grid, image)
        sizes = dict.fromkeys(("classes", "shots")) if learned else {"classes": classes, "shots": shots}
        document = opened.document("sample", split=memory_from) | {
            "memory": {"from": folder or memory_from, **sizes},
            "samples": layout.columns,
            "address": layout.address,
            "pixels": layout.pixels,
            "temperature": temperature,
            "candidates": candidates,
            "image": str(image),
            "grid": list(shape),
        }
        heading = opened.heading(
            memory_from,
            "learned memory" if learned else f"memory {classes} classes × {shots} drawing{'s' * (shots > 1)}",
            "left: the slot in memory, right: "
            + ("Bernoulli means" if layout.pixels == "mean" else "pixels drawn from their Bernoulli means"),
            f"temperature {temperature:g}" + (f", one of {candidates} kept" if candidates > 1 else ""),
            "each row's slot in turn" if layout.address == "shared" else "each row's slot drawn from p(a)",
        )
        shown: list[RenderableType] = [preview(grid, output.width), heading, str(image)]
        output.result(document, shown, str(image))
