"""Episodes: the targets and the memory of a step, a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator


@dataclass(frozen=True, eq=False)
class Episode:
    """Targets and a memory of the same classes, whose drawings are disjoint.

    targets: pixels 0 or 1, float32 [B, 1, H, W]; memory: the same [S, 1, H, W].
    target_labels [B], memory_labels [S]: class within the episode, 0 … n_way − 1.
    target_index [B], memory_index [S]: which drawings of the `Characters` these are, on the CPU.
    """

    targets: Tensor
    memory: Tensor
    target_labels: Tensor
    memory_labels: Tensor
    target_index: Tensor
    memory_index: Tensor


class EpisodeSampler:
    """Episodes of n_way classes with n_shot drawings of each in memory and n_target others as targets.

    Indices come from a CPU generator, so that every device sees the same episodes; the drawings stay on `device`.
    Drawings with intensities become binary anew in every episode.

    Raises:
        VmaError: more classes, or more drawings of a class, than there are.
    """

    def __init__(
        self,
        characters: Characters,
        *,
        n_way: int,
        n_shot: int,
        n_target: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 1 <= n_way <= characters.n_classes:
            raise VmaError(f"{n_way} classes asked for, but the split holds {characters.n_classes}")
        fewest = int(characters.counts.min())
        if n_shot + n_target > fewest:
            raise VmaError(
                f"{n_shot} in memory and {n_target} targets of each class asked for, "
                f"but a class of this split has {fewest} drawings"
            )
        self.characters = characters
        self.n_way, self.n_shot, self.n_target = n_way, n_shot, n_target
        self.seed = seed
        self.device = torch.device(device)
        self._images = characters.images.to(self.device)

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""
        draw = generator(self.seed, step, Stream.EPISODE)
        classes = torch.randperm(self.characters.n_classes, generator=draw)[: self.n_way]
        drawings = self._shuffled_drawings(classes, draw)[:, : self.n_shot + self.n_target]
        memory_index = drawings[:, : self.n_shot].flatten()
        target_index = drawings[:, self.n_shot :].flatten()
        label = torch.arange(self.n_way)
        pixels = self._pixels(step)
        return Episode(
            targets=pixels(target_index),
            memory=pixels(memory_index),
            target_labels=label.repeat_interleave(self.n_target).to(self.device),
            memory_labels=label.repeat_interleave(self.n_shot).to(self.device),
            target_index=target_index,
            memory_index=memory_index,
        )

    def minibatch(self, step: int) -> Tensor:
        """n_way · n_target drawings from all classes alike [B, 1, H, W], for a memory that is learned."""
        draw = generator(self.seed, step, Stream.EPISODE)
        index = torch.randint(len(self.characters.images), (self.n_way * self.n_target,), generator=draw)
        return self._pixels(step)(index)

    def _shuffled_drawings(self, classes: Tensor, draw: torch.Generator) -> Tensor:
        """Drawings of each class in random order [n_way, most]; past a class's own count the order is meaningless."""
        counts = self.characters.counts[classes]
        order = torch.rand(len(classes), int(counts.max()), generator=draw)
        order[torch.arange(order.shape[1]) >= counts[:, None]] = 2.0
        return self.characters.offsets[classes][:, None] + order.argsort(1)

    def _pixels(self, step: int) -> Callable[[Tensor], Tensor]:
        levels = self.characters.levels
        noise = generator(self.seed, step, Stream.PIXELS, self.device) if levels > 1 else None

        def pixels(index: Tensor) -> Tensor:
            images = self._images[index.to(self.device)].float()[:, None]
            if noise is None:
                return images
            uniform = torch.rand(images.shape, generator=noise, device=self.device)
            return (images > uniform * levels).float()

        return pixels
