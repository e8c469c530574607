"""Episodes: the targets and the memory of a step, a pure function of (seed, step).

Indices come from a CPU generator, so that every device sees the same episodes; the drawings stay on the device.
Drawings with intensities become binary anew in every episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator


@dataclass(frozen=True, eq=False)
class Episode:
    """Targets and a memory.

    targets: pixels 0 or 1, or shades of a finer view, float32 [B, 1, H, W]; memory: the same [S, 1, H, W], S = 0 where
        none is drawn.
    target_labels [B], memory_labels [S]: class within the episode, 0 … n_way − 1, or of the `Characters` where the
    episode is not drawn by class.
    target_index [B], memory_index [S]: which drawings of the `Characters` these are, on the CPU.
    mask: bool [B, S], the slots that each target may see; None: all.
    """

    targets: Tensor
    memory: Tensor
    target_labels: Tensor
    memory_labels: Tensor
    target_index: Tensor
    memory_index: Tensor
    mask: Tensor | None = None


class Sampler(Protocol):
    """Where episodes come from."""

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""


def shuffled_drawings(characters: Characters, classes: Tensor, draw: torch.Generator) -> Tensor:
    """Drawings of each class in random order [n_way, most]; past a class's own count the order is meaningless."""
    counts = characters.counts[classes]
    order = torch.rand(len(classes), int(counts.max()), generator=draw)
    order[torch.arange(order.shape[1]) >= counts[:, None]] = 2.0
    return characters.offsets[classes][:, None] + order.argsort(1)


def need_finer(characters: Characters, setting: str) -> None:
    """Raises VmaError if strokes are to be changed, as `setting` asks, in another view than the finer one."""
    if not characters.finer:
        raise VmaError(f"only of finer views can strokes be changed: set model.view to finer, or {setting} to 0")


def ahead(index: Tensor, device: torch.device) -> Tensor:
    """Indices made on the CPU, on `device`; a GPU is not waited for, so that they can be there before it needs them."""
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index.to(device)


class Pixels:
    """Drawings as models see them, on a device: binary pixels, or the finer view."""

    def __init__(self, characters: Characters, seed: int, device: torch.device | str) -> None:
        self.seed, self.levels, self.finer = seed, characters.levels, characters.finer
        self.images = characters.images.to(device)

    def at(self, step: int) -> Callable[[Tensor], Tensor]:
        """drawings [N] → float32 [N, 1, H, W]: 0 and 1, drawn anew in every step from means, or shades in [0, 1]."""
        binary = self.binary(step)
        return lambda index: binary(self.drawings(index))

    def drawings(self, index: Tensor) -> Tensor:
        """drawings [N] → float32 [N, 1, H, W] of 0 … levels."""
        return self.images[ahead(index, self.images.device)].float()[:, None]

    def binary(self, step: int) -> Callable[[Tensor], Tensor]:
        """Intensities [N, 1, H, W] → 0 and 1, by the noise of a step; what is binary stays, shades come to [0, 1]."""
        if self.finer:
            return lambda images: images / self.levels
        device = self.images.device
        noise = generator(self.seed, step, Stream.PIXELS, device) if self.levels > 1 else None

        def pixels(images: Tensor) -> Tensor:
            if noise is None:
                return images
            uniform = torch.rand(images.shape, generator=noise, device=device)
            return (images > uniform * self.levels).float()

        return pixels
