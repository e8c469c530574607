"""Files become characters, characters become episodes. Stands alone: nothing of the model is known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vmacore.data import folders
from vmacore.data.characters import SPLITS, Characters, Dataset
from vmacore.errors import VmaError
from vmacore.files import data_folder
from vmacore.shelf import DATASETS, is_folder
from vmacore.spelling import choose_one_of

__all__ = ["DATASETS", "SPLITS", "Characters", "Dataset", "drawings_of", "load_dataset"]


def load_dataset(
    name: str,
    *,
    protocol: str | None = None,
    data_dir: Path | None = None,
    seed: int = 0,
    offline: bool = False,
    binarise: str = "resampled",
    view: str = "pixels",
    size: tuple[int, int] = (26, 26),
    validation: Sequence[str] | None = None,
) -> Dataset:
    """A data set cut into train, validation and test.

    name: of a file in `vmacore.data.sets`, or the path of a folder of pictures (`vmacore.data.folders`).
    protocol: None is the data set's default.
    data_dir: where downloads lie; glyphs and digits need none. None: what VMA_DATA names, else data.
    seed: decides what glyphs look like, and is to decide the binarisation of grey levels in evaluation
        (`Characters.binarised`).
    binarise: "fixed" draws the training pixels of grey levels once, by `seed`; "resampled" leaves them to each step.
    view: "finer" gives the finer view of the same drawings (`vmacore.data.views`), of a data set that has one.
    size: of x in pixels, for pictures of a folder; other data sets have theirs.
    validation: the classes that validate, of a folder that has none for it; None: a tenth.
    offline: makes no difference, as loading never downloads; taken so that callers can pass it on.

    Raises:
        VmaError: unknown name or protocol; the data are missing or damaged.
    """
    own = is_folder(name)
    module = folders if own else DATASETS[name]
    protocol = protocol or module.PROTOCOLS[0]
    if protocol not in module.PROTOCOLS:
        raise VmaError(f"{name} has no protocol {protocol!r}; {choose_one_of(protocol, module.PROTOCOLS)}")
    if own:
        return folders.load(Path(name), protocol, size, finer=view == "finer", validation=validation)
    if validation is not None:
        raise VmaError(f"{name} has validation classes of its own: leave data.validation out")
    folder = data_folder(data_dir)
    if view == "finer" and not hasattr(module, "open_finer"):
        having = [other for other in DATASETS if hasattr(DATASETS[other], "open_finer")]
        raise VmaError(
            f"{name} has no finer view, which this model reads: take one with model.view = pixels, or a data set that "
            f"has it ({', '.join(having)})"
        )
    opened = module.open_finer if view == "finer" else module.open_set
    dataset: Dataset = opened(folder, protocol, seed)
    if dataset.train.levels > 1 and view == "pixels":
        if binarise == "fixed":
            how = f"{dataset.binarisation}: fixed by seed {seed}"
            train, validates = dataset.train.binarised(seed), dataset.validation.binarised(seed)
            dataset = replace(dataset, binarisation=how, train=train, validation=validates)
        else:
            how = f"{dataset.binarisation}: fixed by seed {seed} for evaluation, resampled each step for training"
            dataset = replace(dataset, binarisation=how)
    return dataset


def drawings_of(name: str) -> set[str]:
    """The data sets whose drawings a data set holds: those that its file names, else itself.

    Raises:
        VmaError: there is no such data set.
    """
    return set(getattr(DATASETS[name], "DRAWINGS_OF", (name,)))
