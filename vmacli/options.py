"""Options that several commands share. Nothing here imports torch, so help and usage errors are quick."""

from pathlib import Path
from typing import Annotated, Literal

import typer

# vmacore.data.DATASETS, which imports torch
DatasetName = Literal["omniglot", "mnist", "omniglot-burda", "binarized-mnist", "omniglot-gmn", "glyphs", "digits"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
SplitName = Literal["train", "validation", "test"]
WeightsName = Literal["averaged", "raw"]
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

LARGEST_SEED = 2**32 - 1
COMMON = "Common options"

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="VMA_DATA", help="Where data sets are.", rich_help_panel=COMMON)
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", envvar="VMA_RUNS", help="Where runs are.", rich_help_panel=COMMON)]
Device = Annotated[
    DeviceName,
    typer.Option("--device", help="Where to compute; auto prefers an accelerator.", rich_help_panel=COMMON),
]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Decides episodes and noise.", rich_help_panel=COMMON),
]
Weights = Annotated[
    WeightsName,
    typer.Option("--weights", help="The averaged weights, or the last.", rich_help_panel=COMMON),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout, nothing else there.", rich_help_panel=COMMON),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Only the bare result on stdout, no progress.", rich_help_panel=COMMON),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.", rich_help_panel=COMMON)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.", rich_help_panel=COMMON)]

Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run directory or its name, a checkpoint folder, or shipped weights. "
        "Left out: the newest run, else shipped weights.",
        show_default=False,
    ),
]
OfDataset = Annotated[
    DatasetName | None,
    typer.Option("--dataset", help="Take the newest run on this data set.", show_default=False),
]
Split = Annotated[SplitName, typer.Option("--split", help="Which classes memory and targets come from.")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Classes in memory.")]
Shots = Annotated[int, typer.Option("--shots", min=1, help="Drawings of each class in memory.")]
