"""Where a run's episodes come from, as its configuration says."""

from __future__ import annotations

import torch

from vmacore.config import Config
from vmacore.data.characters import Characters
from vmacore.episodes.augmentation import Augmentation
from vmacore.episodes.base import Sampler
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.episodes.minibatch import MinibatchSampler
from vmacore.episodes.recall import RecallSampler
from vmacore.episodes.sequence import SequenceSampler


def training_sampler(config: Config, characters: Characters, device: torch.device | str, seed: int = 0) -> Sampler:
    """Episodes as configured.

    Raises:
        VmaError: the drawings cannot make such episodes.
    """
    episode = config.episode
    n_target = episode.classes * episode.targets
    if config.model.learned_slots or episode.memory == "none":
        return MinibatchSampler(characters, n_target=n_target, seed=seed, device=device)
    if episode.memory == "recall":
        return RecallSampler(characters, n_slots=episode.slots, n_target=n_target, seed=seed, device=device)
    if episode.memory == "sequence":
        return SequenceSampler(
            characters,
            n_sequences=episode.sequences,
            length=episode.length,
            max_classes=episode.classes,
            seed=seed,
            replacement=episode.replacement,
            device=device,
        )
    binary = characters.levels == 1
    changes = Augmentation(
        episode.turned, episode.warped, characters.size, jittered=episode.jittered, binary=binary, device=device
    )
    return EpisodeSampler(
        characters,
        n_way=episode.classes,
        n_shot=episode.shots,
        n_target=episode.targets,
        seed=seed,
        device=device,
        n_memories=episode.memories,
        shots=episode.shots_between,
        augmentation=changes if episode.turned or episode.warped or episode.jittered else None,
    )


def validation_sampler(config: Config, characters: Characters, device: torch.device | str) -> Sampler:
    """Episodes of the same shape as in training, with fewer classes where the validation split has fewer.

    Nothing of them varies and no drawing is changed.
    """
    memories = config.episode.memories
    classes = min(config.episode.classes, characters.n_classes // memories * memories)
    episode = config.episode.plain.model_copy(update={"classes": classes})
    return training_sampler(config.model_copy(update={"episode": episode}), characters, device)
