"""Episodes, the targets and the memory of a step; a kind of episode a file."""

from __future__ import annotations

import torch

from vmacore.config import Config, LabelsConfig
from vmacore.data.characters import Characters
from vmacore.episodes.augmentation import Augmentation
from vmacore.episodes.base import Sampler
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.shelf import EPISODES


def training_sampler(config: Config, characters: Characters, device: torch.device | str, seed: int = 0) -> Sampler:
    """Episodes as configured; for a learned memory those without a memory.

    Raises:
        VmaError: the drawings cannot make such episodes.
    """
    kind = "none" if config.model.learns_slots else config.episode.memory
    sampler: Sampler = EPISODES[kind].make(config.episode, characters, seed, device)
    return sampler


def labels_sampler(
    config: LabelsConfig, characters: Characters, device: torch.device | str, seed: int = 0
) -> EpisodeSampler | None:
    """Batches that labels teach h with, as episodes without targets; None if no label is used."""
    if not config.weight:
        return None
    binary, size = characters.levels == 1, characters.size
    changes = Augmentation(config.turned, 0.0, size, jittered=config.jittered, bent=config.bent, binary=binary)
    return EpisodeSampler(
        characters,
        n_way=min(config.classes, characters.n_classes),
        n_shot=config.drawings,
        n_target=0,
        seed=seed,
        device=device,
        augmentation=changes,
    )


def validation_sampler(config: Config, characters: Characters, device: torch.device | str) -> Sampler:
    """Episodes of the same shape as in training, with fewer classes where the validation split has fewer.

    Nothing of them varies and no drawing is changed.
    """
    episode = config.episode.out_of(characters.n_classes)
    return training_sampler(config.model_copy(update={"episode": episode}), characters, device)
