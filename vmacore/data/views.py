"""Two views of a drawing: its binary pixels x, which models explain, and a finer one, which only h and h_q look at.

A finer view has twice the resolution and grey levels, and x is a function of it. So whoever holds it holds both, and
q(a|x, M) may depend on all of it: whatever q is, the bound stays a lower bound on log p(x|M).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

ZOOM = 2  # pixels of the finer view for one of x, each way
FAINTEST = 1 / 8  # a part of full ink; below it is paper. Omniglot's finer view is in quarters.


def pixels_of(finer: Tensor) -> Tensor:
    """x [N, 1, H, W], 0 or 1, of finer views [N, 1, 2H, 2W] in [0, 1]: ink where any of 2×2 neighbours has some."""
    return F.max_pool2d((finer > FAINTEST).to(finer.dtype), ZOOM)


def finer_of(pixels: Tensor) -> Tensor:
    """A finer view [N, 1, 2H, 2W] of x [N, 1, H, W] that was drawn in no other: `pixels_of` it is x."""
    return F.interpolate(pixels, scale_factor=ZOOM, mode="nearest")


def quarters(ink: NDArray[Any]) -> NDArray[np.uint8]:
    """Shades 0 … 4 [..., H, W] of ink 0 or 1 [..., 2H, 2W]: how many pixels of each block of 2×2 have ink."""
    *lead, H, W = ink.shape
    return ink.reshape(*lead, H // 2, 2, W // 2, 2).sum(axis=(-3, -1), dtype=np.uint8)


def view_in_words(*, finer: bool) -> str:
    """How pictures that were read twice as fine are seen, for what stands beside numbers."""
    return "grey, twice as fine" if finer else "black and white: ink where any of 2×2 finer pixels has ink"
