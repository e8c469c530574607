"""scikit-learn's built-in digits: 1,797 drawings of ten classes at 8 by 8, with nothing to download.

UCI Machine Learning Repository, "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, 1998).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vmacore.data.characters import Characters, Dataset

PROTOCOLS: tuple[str, ...] = ("standard",)  # the first is the default
LEVELS = 16
TRAIN, VALIDATION = 0.6, 0.2  # shares of the drawings of each class; the rest are for testing
CLASSES = tuple(f"digits/{digit}" for digit in range(10))


def load(seed: int = 0) -> Dataset:
    """Digits cut by drawings, every split holding all ten classes; levels 0 … 16.

    seed: changes nothing, as a seed that moved drawings between splits would let a run be tested on what it
        was trained on; taken so that the built-in data sets are loaded alike.
    """
    from sklearn.datasets import load_digits  # slow to import, and of use only here

    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.uint8))
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rows: dict[str, list[Tensor]] = {"train": [], "validation": [], "test": []}
    for digit in range(10):
        own = (labels == digit).nonzero().squeeze(1)
        own = own[torch.from_numpy(np.random.default_rng(digit).permutation(len(own)))]
        ends = [round(TRAIN * len(own)), round((TRAIN + VALIDATION) * len(own))]
        for split, part in zip(rows, own.tensor_split(ends), strict=True):
            rows[split].append(part.sort().values)
    splits = {name: torch.cat(parts) for name, parts in rows.items()}
    return Dataset(
        name="digits",
        protocol="standard",
        preparation="8x8",
        binarisation="Bernoulli",
        **{name: Characters(images[index], labels[index], CLASSES, LEVELS) for name, index in splits.items()},
    )


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return load(seed)
