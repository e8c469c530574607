"""Files become characters, characters become episodes. Stands alone: nothing of the model is known here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vmacore.data.characters import SPLITS, Characters, Dataset
from vmacore.data.splits import TEST_ALPHABETS
from vmacore.errors import VmaError

__all__ = ["DATASETS", "PROTOCOLS", "SPLITS", "Characters", "Dataset", "load_dataset"]

# The first is the default.
PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "omniglot": tuple(TEST_ALPHABETS),
    "mnist": ("standard",),
    "omniglot-burda": ("standard",),
    "binarized-mnist": ("standard",),
    "omniglot-gmn": ("30-20",),
    "glyphs": ("standard",),
    "digits": ("standard",),
}
DATASETS = tuple(PROTOCOLS)


def load_dataset(
    name: str,
    *,
    protocol: str | None = None,
    data_dir: Path | None = None,
    seed: int = 0,
    offline: bool = False,
    binarise: str = "resampled",
) -> Dataset:
    """A data set cut into train, validation and test.

    protocol: None is the data set's default.
    data_dir: where downloads lie; glyphs and digits need none. None: what VMA_DATA names, else data.
    seed: decides what glyphs look like, and is to decide the binarisation of grey levels in evaluation
        (`Characters.binarised`).
    binarise: "fixed" draws the training pixels of grey levels once, by `seed`; "resampled" leaves them to each step.
    offline: makes no difference, as loading never downloads; taken so that callers can pass it on.

    Raises:
        VmaError: unknown name or protocol; the data are missing or damaged.
    """
    if name not in PROTOCOLS:
        raise VmaError(f"there is no data set {name!r}; choose one of {', '.join(DATASETS)}")
    protocol = protocol or PROTOCOLS[name][0]
    if protocol not in PROTOCOLS[name]:
        raise VmaError(f"{name} has no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS[name])}")
    folder = Path(os.environ.get("VMA_DATA") or "data") if data_dir is None else Path(data_dir)
    dataset = _load(name, protocol, folder, seed)
    if dataset.train.levels > 1:
        if binarise == "fixed":
            how = f"{dataset.binarisation}: fixed by seed {seed}"
            train, validation = dataset.train.binarised(seed), dataset.validation.binarised(seed)
            dataset = replace(dataset, binarisation=how, train=train, validation=validation)
        else:
            how = f"{dataset.binarisation}: fixed by seed {seed} for evaluation, resampled each step for training"
            dataset = replace(dataset, binarisation=how)
    return dataset


def _load(name: str, protocol: str, data_dir: Path, seed: int) -> Dataset:
    # Imported one by one, so that what a data set needs is loaded with it alone.
    if name == "omniglot":
        from vmacore.data.sets import omniglot

        return omniglot.load(data_dir, protocol)
    if name == "mnist":
        from vmacore.data.sets import mnist

        return mnist.load(data_dir)
    if name == "omniglot-burda":
        from vmacore.data.sets import burda

        return burda.load(data_dir)
    if name == "binarized-mnist":
        from vmacore.data.sets import binarized_mnist

        return binarized_mnist.load(data_dir)
    if name == "omniglot-gmn":
        from vmacore.data.sets import omniglot_gmn

        return omniglot_gmn.load(data_dir)
    if name == "glyphs":
        from vmacore.data.sets import glyphs

        return glyphs.load(seed)
    from vmacore.data.sets import digits

    return digits.load(seed)
