"""Episodes: the targets and the memory of a step, a pure function of (seed, step).

Indices come from a CPU generator, so that every device sees the same episodes; the drawings stay on the device.
Drawings with intensities become binary anew in every episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator

if TYPE_CHECKING:
    from vmacore.episodes.augmentation import Augmentation


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
    shots: smallest and largest number of slots of each class, which then varies from step to step, log-uniformly, up to
    as many as the class with the fewest drawings can give besides its targets.
    augmentation: one change for each class of an episode, of all its drawings.

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
        shots: tuple[int, int] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.shots = shots or (n_shot, n_shot)
        if n_way % n_memories:
            raise ValueError(f"{n_way} classes cannot be shared out to {n_memories} memories")
        if not 1 <= n_way <= characters.n_classes:
            hint = ", as drawings without labels do: train with --set episode.memory=none"
            held = f"{characters.n_classes}{hint if characters.n_classes == 1 else ''}"
            raise VmaError(f"{n_way} classes asked for, but the split holds {held}")
        self.fewest = int(characters.counts.min())
        if self.shots[0] + n_target > self.fewest:
            raise VmaError(
                f"{self.shots[0]} in memory and {n_target} targets of each class asked for, "
                f"but a class of this split has {self.fewest} drawings"
            )
        self.characters = characters
        self.n_way, self.n_shot, self.n_target = n_way, n_shot, n_target
        self.n_memories = n_memories
        self.augmentation = augmentation
        self.seed = seed
        self.device = torch.device(device)
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""
        draw = generator(self.seed, step, Stream.EPISODE)
        n_way, n_shot = self.n_way, self._slots_of_a_class(step)
        classes = torch.randperm(self.characters.n_classes, generator=draw)[:n_way]
        drawings = shuffled_drawings(self.characters, classes, draw)
        memory_index = drawings[:, :n_shot].flatten()
        target_index = drawings[:, n_shot : n_shot + self.n_target].flatten()
        label = torch.arange(n_way)
        target_labels = ahead(label.repeat_interleave(self.n_target), self.device)
        memory_labels = ahead(label.repeat_interleave(n_shot), self.device)
        group = n_way // self.n_memories
        own_group = target_labels[:, None] // group == memory_labels // group
        targets, memory = self._pixels.drawings(target_index), self._pixels.drawings(memory_index)
        binary = self._pixels.binary(step)
        if self.augmentation is not None:
            change = self.augmentation.draw(n_way, generator(self.seed, step, Stream.AUGMENTATION))
            targets, memory = change(targets, target_labels), change(memory, memory_labels)
        return Episode(
            targets=binary(targets),
            memory=binary(memory),
            target_labels=target_labels,
            memory_labels=memory_labels,
            target_index=target_index,
            memory_index=memory_index,
            mask=own_group if self.n_memories > 1 else None,
        )

    def _slots_of_a_class(self, step: int) -> int:
        fewest, most = self.shots
        draw = generator(self.seed, step, Stream.VARIATION)
        _, u = torch.rand(2, generator=draw, dtype=torch.float64).tolist()  # runs of earlier versions took the second
        return log_uniform(fewest, min(most, self.fewest - self.n_target), u)


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


def log_uniform(low: int, high: int, u: float) -> int:
    """Of u uniform in [0, 1), an integer in low … high; n has probability ∝ log((n + 1) / n)."""
    return min(int(low * ((high + 1) / low) ** u), high) if low < high else low


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
        binary = self.binary(step)
        return lambda index: binary(self.drawings(index))

    def drawings(self, index: Tensor) -> Tensor:
        """drawings [N] → float32 [N, 1, H, W] of 0 … levels."""
        return self.images[ahead(index, self.images.device)].float()[:, None]

    def binary(self, step: int) -> Callable[[Tensor], Tensor]:
        """Intensities [N, 1, H, W] → 0 and 1, by the noise of a step; what is binary stays."""
        device = self.images.device
        noise = generator(self.seed, step, Stream.PIXELS, device) if self.levels > 1 else None

        def pixels(images: Tensor) -> Tensor:
            if noise is None:
                return images
            uniform = torch.rand(images.shape, generator=noise, device=device)
            return (images > uniform * self.levels).float()

        return pixels
