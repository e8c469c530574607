"""The configuration of a new run: a recipe, and what is asked for beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from vmacore.config import Config, DataConfig, load_recipe, recipe_names
from vmacore.errors import VmaError
from vmacore.shelf import is_folder


@dataclass(frozen=True)
class Wanted:
    """What a new run is made of; None: as the recipe has it.

    dataset: a data set, or the path of a folder of pictures in full. frame: of a folder's pictures, "ink" or "image".
    recipe: None is the one that is called as the data set. steps: in all. seed: of training. settings: such as
    "model.latent=32", which count last.
    """

    dataset: str | None = None
    frame: str | None = None
    recipe: str | None = None
    protocol: str | None = None
    estimator: str | None = None
    steps: int | None = None
    seed: int | None = None
    settings: Sequence[str] = ()


def configure(wanted: Wanted, init: Config | None = None) -> Config:
    """The recipe, or the one named like the data set, with what is wanted beside it.

    With neither, `init`, what the run was trained by whose weights are taken. To train addresses alone, whose networks
    are not the recipe's concern, the model is that of `init`. A data set without a recipe takes the defaults, the
    paper's.

    Raises:
        VmaError: a frame of what is no folder, no such recipe, or a setting that there is not.
    """
    if init is not None and wanted.recipe is None and wanted.dataset is None:
        config = init.model_copy(update={"init": None})
    elif wanted.recipe is None and wanted.dataset not in recipe_names():
        config = Config(data=DataConfig(dataset=wanted.dataset or ""))
    else:
        config = load_recipe(wanted.recipe or wanted.dataset or "")
    if init is not None and config.objective.trains == "addresses":
        config = config.model_copy(update={"model": init.model})
    if wanted.frame and not is_folder(wanted.dataset or ""):
        raise VmaError("data sets are prepared as they are: give --frame with a folder of pictures (--dataset PATH)")
    if wanted.frame and wanted.protocol not in (None, wanted.frame):
        raise VmaError("a folder of pictures has no protocol besides its frame: leave --protocol out")
    changes = []
    if wanted.dataset is not None and wanted.dataset != config.data.dataset:
        changes += [f"data.dataset={wanted.dataset}", "data.protocol=none", "data.validation=none"]
    for key, value in (
        ("data.protocol", wanted.frame or wanted.protocol),
        ("objective.estimator", wanted.estimator),
        ("training.steps", wanted.steps),
        ("training.seed", wanted.seed),
    ):
        if value is not None:
            changes.append(f"{key}={json.dumps(value, ensure_ascii=False)}")  # 45_5 is no number here
    return config.with_overrides([*changes, *wanted.settings])
