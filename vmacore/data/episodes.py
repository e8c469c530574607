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

    targets: pixels 0 or 1, float32 [B, 1, H, W]; memory: the same [S, 1, H, W], S = 0 where none is drawn.
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


class EpisodeSampler:
    """Episodes of n_way classes with n_shot drawings of each in memory and n_target others as targets.

    n_memories: groups that the classes are shared out to; a target sees the slots of its own group alone.

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
        n_memories: int = 1,
    ) -> None:
        if n_way % n_memories:
            raise ValueError(f"{n_way} classes cannot be shared out to {n_memories} memories")
        if not 1 <= n_way <= characters.n_classes:
            hint = ", as drawings without labels do: train with --set episode.memory=none"
            held = f"{characters.n_classes}{hint if characters.n_classes == 1 else ''}"
            raise VmaError(f"{n_way} classes asked for, but the split holds {held}")
        fewest = int(characters.counts.min())
        if n_shot + n_target > fewest:
            raise VmaError(
                f"{n_shot} in memory and {n_target} targets of each class asked for, "
                f"but a class of this split has {fewest} drawings"
            )
        self.characters = characters
        self.n_way, self.n_shot, self.n_target = n_way, n_shot, n_target
        self.n_memories = n_memories
        self.seed = seed
        self.device = torch.device(device)
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""
        draw = generator(self.seed, step, Stream.EPISODE)
        classes = torch.randperm(self.characters.n_classes, generator=draw)[: self.n_way]
        drawings = shuffled_drawings(self.characters, classes, draw)[:, : self.n_shot + self.n_target]
        memory_index = drawings[:, : self.n_shot].flatten()
        target_index = drawings[:, self.n_shot :].flatten()
        label = torch.arange(self.n_way, device=self.device)
        target_labels = label.repeat_interleave(self.n_target)
        memory_labels = label.repeat_interleave(self.n_shot)
        share = self.n_way // self.n_memories
        own = target_labels[:, None] // share == memory_labels // share
        pixels = self._pixels.at(step)
        return Episode(
            targets=pixels(target_index),
            memory=pixels(memory_index),
            target_labels=target_labels,
            memory_labels=memory_labels,
            target_index=target_index,
            memory_index=memory_index,
            mask=own if self.n_memories > 1 else None,
        )


class MinibatchSampler:
    """Targets of all classes alike, with no memory: for a memory that is learned, or a model without one."""

    def __init__(self, characters: Characters, *, n_target: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.characters, self.n_target, self.seed = characters, n_target, seed
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The n_target drawings of a step, each drawn of all there are."""
        draw = generator(self.seed, step, Stream.EPISODE)
        index = torch.randint(len(self.characters.images), (self.n_target,), generator=draw)
        none = index[:0]
        labels = self.characters.labels
        pixels = self._pixels.at(step)
        return Episode(pixels(index), pixels(none), labels[index], labels[none], index, none)


class RecallSampler:
    """A memory of n_slots drawings of all classes alike; the targets are n_target of them, bit for bit (section 4.1).

    Raises:
        VmaError: more slots than drawings, or more targets than slots.
    """

    def __init__(
        self,
        characters: Characters,
        *,
        n_slots: int,
        n_target: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        if not n_target <= n_slots <= len(characters.images):
            raise VmaError(
                f"{n_slots} slots and {n_target} targets among them asked for, "
                f"but the split holds {len(characters.images)} drawings"
            )
        self.characters, self.seed = characters, seed
        self.n_slots, self.n_target = n_slots, n_target
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""
        draw = generator(self.seed, step, Stream.EPISODE)
        memory_index = torch.randperm(len(self.characters.images), generator=draw)[: self.n_slots]
        slot = torch.randperm(self.n_slots, generator=draw)[: self.n_target]
        memory = self._pixels.at(step)(memory_index)
        labels = self.characters.labels[memory_index]
        return Episode(
            memory[ahead(slot, memory.device)], memory, labels[slot], labels, memory_index[slot], memory_index
        )


def shuffled_drawings(characters: Characters, classes: Tensor, draw: torch.Generator) -> Tensor:
    """Drawings of each class in random order [n_way, most]; past a class's own count the order is meaningless."""
    counts = characters.counts[classes]
    order = torch.rand(len(classes), int(counts.max()), generator=draw)
    order[torch.arange(order.shape[1]) >= counts[:, None]] = 2.0
    return characters.offsets[classes][:, None] + order.argsort(1)


def ahead(index: Tensor, device: torch.device) -> Tensor:
    """Indices made on the CPU, on `device`; a GPU is not waited for, so that they can be there before it needs them."""
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index.to(device)


class Pixels:
    """Drawings as binary pixels on a device."""

    def __init__(self, characters: Characters, seed: int, device: torch.device | str) -> None:
        self.seed, self.levels = seed, characters.levels
        self.images = characters.images.to(device)

    def at(self, step: int) -> Callable[[Tensor], Tensor]:
        """drawings [N] → float32 [N, 1, H, W] of 0 and 1; intensities are means, drawn from anew in every step."""
        device = self.images.device
        noise = generator(self.seed, step, Stream.PIXELS, device) if self.levels > 1 else None

        def pixels(index: Tensor) -> Tensor:
            images = self.images[ahead(index, device)].float()[:, None]
            if noise is None:
                return images
            uniform = torch.rand(images.shape, generator=noise, device=device)
            return (images > uniform * self.levels).float()

        return pixels
