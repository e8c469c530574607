"""Recall: the targets are slots of the memory, bit for bit (section 4.1)."""

from __future__ import annotations

import torch
from pydantic import Field

from vmacore.config import EpisodeConfig
from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode, Pixels, ahead
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator


class Options(EpisodeConfig):
    """The keys that it reads."""

    slots: int = Field(256, ge=1)  # in all


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
        labels, own = ahead(self.characters.labels[memory_index], memory.device), ahead(slot, memory.device)
        return Episode(memory[own], memory, labels[own], labels, memory_index[slot], memory_index)


def make(config: Options, characters: Characters, seed: int, device: torch.device | str) -> RecallSampler:
    """As configured."""
    n_target = config.classes * config.targets
    return RecallSampler(characters, n_slots=config.slots, n_target=n_target, seed=seed, device=device)
