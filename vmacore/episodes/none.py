"""Minibatches without a memory of their own."""

from __future__ import annotations

import torch

from vmacore.config import EpisodeConfig
from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode, Pixels, ahead
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator


class Options(EpisodeConfig):
    """No keys besides."""

    @property
    def may_be_empty(self) -> bool:
        return True


class MinibatchSampler:
    """Targets of all classes alike, with no memory: for a memory that is learned, or a model without one."""

    def __init__(self, characters: Characters, *, n_target: int, seed: int, device: torch.device | str = "cpu") -> None:
        if not len(characters.images):
            raise VmaError("the split holds no drawings: choose another split or data set")
        self.characters, self.n_target, self.seed = characters, n_target, seed
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The n_target drawings of a step, each drawn of all there are."""
        draw = generator(self.seed, step, Stream.EPISODE)
        index = torch.randint(len(self.characters.images), (self.n_target,), generator=draw)
        none = index[:0]
        pixels = self._pixels.at(step)
        targets, memory = pixels(index), pixels(none)
        labels, no_labels = (ahead(self.characters.labels[part], targets.device) for part in (index, none))
        return Episode(targets, memory, labels, no_labels, index, none)


def make(config: EpisodeConfig, characters: Characters, seed: int, device: torch.device | str) -> MinibatchSampler:
    """As configured."""
    return MinibatchSampler(characters, n_target=config.classes * config.targets, seed=seed, device=device)
