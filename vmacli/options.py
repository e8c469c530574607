"""Options that some commands share. Nothing here imports torch, so help and usage errors are quick."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from vmacli import completion
from vmacore.shelf import DATASETS, ESTIMATORS

if TYPE_CHECKING:
    DatasetName: TypeAlias = str
    EstimatorName: TypeAlias = str
else:  # the files there are, read when a command starts
    DatasetName, EstimatorName = Literal[DATASETS.names()], Literal[ESTIMATORS.names()]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Wanted:
    """Which run a command reads."""

    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run directory or its name, a checkpoint folder, or shipped weights. "
            "Left out: the newest run, else shipped weights.",
            show_default=False,
            autocompletion=completion.all_runs,
        ),
    ] = None
    dataset: Annotated[
        DatasetName | None,
        typer.Option("--dataset", help="Take the newest run on this data set.", show_default=False),
    ] = None


Split = Annotated[SplitName, typer.Option("--split", help="Which classes memory and targets come from.")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Classes in memory.")]
Shots = Annotated[int, typer.Option("--shots", min=1, help="Drawings of each class in memory.")]
