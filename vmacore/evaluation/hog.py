"""Histograms of oriented gradients (Dalal & Triggs 2005), a strong description of drawings that learns nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.data.pictures import LEVELS, Preparation
from vmacore.data.views import ZOOM

SIDE = 64  # pixels of a drawing's side
ORIENTATIONS = 9  # over half a turn
CELL = 8  # pixels a side
BLOCK = 2  # cells a side, normalised together
CLIPPED = 0.2  # the largest part that one orientation of a cell may have of its block


def hog_of_files(files: Sequence[str], frame: str) -> Tensor:
    """Features [N, F] of pictures at SIDE × SIDE in grey, prepared as drawings are.

    Raises:
        VmaError: a picture that can't be used.
    """
    preparation = Preparation((SIDE // ZOOM, SIDE // ZOOM), frame, as_drawn=False)
    return torch.cat([hog(torch.from_numpy(preparation.read(Path(file)))[None] / LEVELS) for file in files])


def hog(images: Tensor) -> Tensor:
    """Images [N, H, W] of grey levels, sides multiples of CELL → [N, features].

    A pixel's gradient counts for the cell that it lies in, with its length, at the nearest orientation. Blocks overlap,
    and are normalised, clipped and normalised again.
    """
    images = images.float()
    padded = F.pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    length = torch.hypot(across, down)
    place = (torch.atan2(down, across) % math.pi) * ORIENTATIONS / math.pi
    nearest = place.long() % ORIENTATIONS
    weights = torch.zeros(len(images), ORIENTATIONS, *images.shape[1:])
    weights.scatter_(1, nearest[:, None], length[:, None])
    cells = F.avg_pool2d(weights, CELL)  # [N, O, h, w]
    blocks = cells.unfold(2, BLOCK, 1).unfold(3, BLOCK, 1).permute(0, 2, 3, 1, 4, 5).flatten(3)  # [N, h − 1, w − 1, …]
    clipped = F.normalize(blocks, dim=3, eps=1e-5).clamp(max=CLIPPED)
    return F.normalize(clipped, dim=3, eps=1e-5).flatten(1)
