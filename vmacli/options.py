"""Options that some commands share. Nothing here imports torch, so help and usage errors are quick."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from vmacli import completion

# vmacore.data.DATASETS, which imports torch
DatasetName = Literal["omniglot", "mnist", "omniglot-burda", "binarized-mnist", "omniglot-gmn", "glyphs", "digits"]
SplitName = Literal["train", "validation", "test"]
# vmacore.config.EstimatorName; here too, so that help does not wait for pydantic
EstimatorName = Literal[
    "vimco",
    "vimco-geometric",
    "nvil",
    "rloo",
    "rws",
    "rws-pathwise",
    "gumbel",
    "st-gumbel",
    "enumeration",
    "top-k",
]


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
