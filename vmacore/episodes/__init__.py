"""Episodes, the targets and the memory of a step; a kind of episode a file."""

from __future__ import annotations

import torch

from vmacore.config import Config
from vmacore.data.characters import Characters
from vmacore.episodes.base import Sampler
from vmacore.shelf import EPISODES


def training_sampler(config: Config, characters: Characters, device: torch.device | str, seed: int = 0) -> Sampler:
    """Episodes as configured; for a learned memory those without a memory.

    Raises:
        VmaError: the drawings cannot make such episodes.
    """
    kind = "none" if config.model.learns_slots else config.episode.memory
    sampler: Sampler = EPISODES[kind].make(config.episode, characters, seed, device)
    return sampler


def validation_sampler(config: Config, characters: Characters, device: torch.device | str) -> Sampler:
    """Episodes of the same shape as in training, with fewer classes where the validation split has fewer.

    Nothing of them varies and no drawing is changed.
    """
    episode = config.episode.out_of(characters.n_classes)
    return training_sampler(config.model_copy(update={"episode": episode}), characters, device)
