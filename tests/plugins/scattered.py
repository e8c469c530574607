"""A kind of episode: slots and targets of all classes alike, no drawing twice."""

from __future__ import annotations

import torch
from pydantic import Field

from vmacore.config import EpisodeConfig
from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode, Pixels, Sampler
from vmacore.seeds import Stream, generator


class Options(EpisodeConfig):
    """The key that it reads."""

    slots: int = Field(8, ge=1)  # of a step

    def check(self) -> None:
        if self.slots < self.classes:
            raise ValueError("slots must be at least as many as classes: set episode.slots")


class Scattered:
    """The first drawings of a shuffle are the slots, the next ones the targets."""

    def __init__(self, characters: Characters, slots: int, targets: int, seed: int, device: torch.device | str) -> None:
        self.characters, self.slots, self.targets, self.seed = characters, slots, targets, seed
        self.pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        rng = generator(self.seed, step, Stream.EPISODE)
        index = torch.randperm(len(self.characters.images), generator=rng)[: self.slots + self.targets]
        memory, targets = index[: self.slots], index[self.slots :]
        labels, pixels = self.characters.labels, self.pixels.at(step)
        return Episode(pixels(targets), pixels(memory), labels[targets], labels[memory], targets, memory)


def make(config: Options, characters: Characters, seed: int, device: torch.device | str) -> Sampler:
    return Scattered(characters, config.slots, config.classes * config.targets, seed, device)
