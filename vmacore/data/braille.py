"""Ink as text: a Braille character shows 2 × 4 pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def braille(ink: Tensor) -> list[str]:
    """Lines of Braille for ink [H, W]."""
    H, W = ink.shape
    padded = torch.zeros(-(-H // 4) * 4, -(-W // 2) * 2, dtype=torch.int64)
    padded[:H, :W] = ink.long()
    # Dots of a Braille character are numbered down the left column, then the right, the bottom row last.
    weight = torch.tensor([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
    cells = padded.view(len(padded) // 4, 4, -1, 2).permute(0, 2, 1, 3)
    return ["".join(chr(0x2800 + code) for code in line) for line in (cells * weight).sum((2, 3)).tolist()]
