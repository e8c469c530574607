"""The options of `vma train`, in groups. Nothing here imports torch, so help and usage errors are quick."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from vmacli import completion, options
from vmacli.session import LARGEST_SEED, common

unset = partial(typer.Option, show_default=False)  # an option that has no default to show
of_run = partial(unset, metavar="RUN", autocompletion=completion.all_runs)
SEED = common(
    "--seed",
    min=0,
    max=LARGEST_SEED,
    help="Decides initial weights, episodes and noise; left out: the recipe's.",
    show_default=False,
)


@dataclass(frozen=True)
class Recipe:
    """What a new run is made of."""

    dataset: Annotated[
        str | None,
        unset(
            "--dataset",
            metavar="NAME|PATH",
            help="What to train on: a data set, or a folder with a folder of pictures for each class.",
            callback=options.dataset_or_folder,
            autocompletion=completion.datasets,
        ),
    ] = None
    frame: options.Frame = None
    recipe: Annotated[
        str | None,
        unset("--recipe", help="Settings; left out: those for the data set.", autocompletion=completion.recipes),
    ] = None
    protocol: Annotated[
        str | None,
        unset("--protocol", help="How its classes are split, such as Omniglot's 30-20 or vinyals; else its usual one."),
    ] = None
    estimator: Annotated[
        options.EstimatorName | None,
        unset("--estimator", help="How gradients are estimated; left out: the recipe's."),
    ] = None
    steps: Annotated[
        int | None,
        unset("--steps", min=1, max=10**9, help="Steps in all, those of a resumed run included."),
    ] = None
