"""Options that some commands share. Nothing here imports torch, so help and usage errors are quick."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from vmacli import completion
from vmacore.errors import VmaError
from vmacore.evaluation.tasks import REJECT
from vmacore.shelf import DATASETS, ESTIMATORS, is_folder

if TYPE_CHECKING:
    EstimatorName: TypeAlias = str
else:  # the files there are, read when a command starts
    EstimatorName = Literal[ESTIMATORS.names()]
SplitName = Literal["train", "validation", "test"]
FrameName = Literal["ink", "image"]  # vmacore.data.pictures.FRAMES, which imports numpy


def dataset_or_folder(value: str | None) -> str | None:
    """The name of a data set as it is, the path of a folder in full."""
    if value is None:
        return None
    if is_folder(value):
        return str(Path(value).resolve())
    try:
        return DATASETS.check(value)
    except VmaError as error:
        raise typer.BadParameter(f"{error}, or a folder of pictures by its path, such as ./{value}") from None


Frame = Annotated[
    FrameName | None,
    typer.Option(
        "--frame",
        help="Of a folder's pictures: crop to the ink, or keep size and place in the image, where these tell classes "
        "apart.",
        show_default="ink",
    ),
]


Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run directory or its name, a checkpoint folder, or shipped weights. "
        "Left out: the newest run, else shipped weights.",
        show_default=False,
        autocompletion=completion.all_runs,
    ),
]


@dataclass(frozen=True)
class Wanted:
    """Which run a command reads."""

    run: Run = None
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|PATH",
            help="What is read: a data set, or a folder with a folder of pictures for each class. Without RUN by the "
            "newest run on it, on a folder else by any weights.",
            show_default=False,
            callback=dataset_or_folder,
            autocompletion=completion.datasets,
        ),
    ] = None
    frame: Frame = None


Split = Annotated[SplitName, typer.Option("--split", help="Which classes memory and targets come from.")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Classes in memory.")]
Shots = Annotated[int, typer.Option("--shots", min=1, help="Drawings of each class in memory.")]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE.html", help="Write a page to look at, with the pictures in it.", show_default=False
    ),
]


def check_apart(read: Iterable[str | Path], **written: Path | None) -> None:
    """Keep files that are to be written from taking the place of those that are read, and of each other.

    written: by name of the option.

    Raises:
        VmaError: one would.
    """
    taken = {os.path.realpath(file) for file in read}
    for option, file in written.items():
        if file is not None:
            place = os.path.realpath(file)
            if place in taken:
                raise VmaError(f"{file} is read here, or written by another option: choose another --{option}")
            taken.add(place)


def check_report(report: Path | None) -> None:
    """Find out, before the work, whether the page that --report asks for can be written.

    Raises:
        VmaError: it cannot.
    """
    if report is not None:
        from vmacore.reports.page import check_page

        check_page(report)


REJECT_OPTION = typer.Option(
    "--reject",
    min=0,
    max=0.99,
    help="How many of the known may be refused as none of these, a fraction; 0 refuses none.",
    show_default=f"{REJECT}",
)
