"""The best rate of floating-point operations that this machine reaches, which floors are made of.

Searched among large forward convolutions, of the paper's own shapes and of wider ones, and square matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from vmacore.bench.flops import conv_flops
from vmacore.bench.timing import Call

# Images, maps in and out, side. The first four are the model's own layers at a large batch.
CONVOLUTIONS = (
    (256, 48, 26),
    (1024, 48, 13),
    (2048, 64, 7),
    (4096, 64, 4),
    (64, 128, 26),
    (256, 128, 13),
)
PRODUCTS = (1024, 2048)
CUDA_SCALE = 8  # an accelerator needs more work at a time before it is busy


@dataclass(frozen=True)
class Candidate:
    """A call and the operations that it makes."""

    name: str
    call: Call
    flops: float


def candidates(device: torch.device | str = "cpu") -> list[Candidate]:
    """Convolutions in channels_last and matrix products in float32, under the settings of the process."""
    scale = CUDA_SCALE if torch.device(device).type == "cuda" else 1
    found = [_convolution(scale * images, maps, side, device) for images, maps, side in CONVOLUTIONS]
    return found + [_product(scale // 2 * n or n, device) for n in PRODUCTS]


def _convolution(images: int, maps: int, side: int, device: torch.device | str) -> Candidate:
    x = torch.randn(images, maps, side, side, device=device).to(memory_format=torch.channels_last)
    weight = torch.randn(maps, maps, 3, 3, device=device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def call() -> None:
        F.conv2d(x, weight, padding=1)

    name = f"3×3 convolution, {maps} to {maps} maps, {images} × {side}×{side}"
    return Candidate(name, call, images * conv_flops(maps, maps, (side, side)))


def _product(n: int, device: torch.device | str) -> Candidate:
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)

    @torch.no_grad()
    def call() -> None:
        a @ b

    return Candidate(f"matrix product, {n}×{n} by {n}×{n}", call, 2 * n**3)
