"""Few-shot episodes: the same classes as targets and in memory, by different drawings (section 4.2)."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field

from vmacore.config import EpisodeConfig
from vmacore.data.characters import Characters
from vmacore.episodes.augmentation import Augmentation
from vmacore.episodes.base import Episode, Pixels, ahead, need_finer, shuffled_drawings
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator

# What validation and evaluation never do to an episode.
TRAINING_ALONE = ("shots_between", "turned", "warped", "jittered", "strokes")


class Options(EpisodeConfig):
    """The keys that it reads."""

    by_class: ClassVar[bool] = True

    memories: int = Field(1, ge=1)  # memories that share the classes out; targets see their own alone
    shots: int = Field(4, ge=1)  # slots of each class
    # In training alone: slots of each class vary from step to step, log-uniform between these, ends included.
    shots_between: tuple[int, int] | None = None
    # In training alone: probability that a class is turned by a symmetry of the square, strength of a small affine
    # change that every class gets, and of one that every drawing gets; probability that a class's strokes are thickened
    # or outlined.
    turned: float = Field(0.0, ge=0, le=1)
    warped: float = Field(0.0, ge=0, le=1)
    jittered: float = Field(0.0, ge=0, le=1)
    strokes: float = Field(0.0, ge=0, le=1)

    @property
    def varies(self) -> bool:
        return self.shots_between is not None

    @property
    def masked(self) -> bool:
        return self.memories > 1

    @property
    def plain(self) -> Self:
        return self.model_copy(update={key: Options.model_fields[key].default for key in TRAINING_ALONE})

    def out_of(self, n_classes: int) -> Self:
        return super().out_of(n_classes // self.memories * self.memories)

    def check(self) -> None:
        if self.shots_between is not None and not 1 <= self.shots_between[0] <= self.shots_between[1]:
            raise ValueError("shots_between needs a smallest number of at least 1 and one that is not smaller")
        if self.varies and self.memories > 1:
            raise ValueError("several memories share out the same classes in every step: set memories to 1")
        if self.classes % self.memories:
            raise ValueError("episode.classes must be a multiple of episode.memories, which share them out")


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
            hints = {
                0: "choose another split",
                1: "ask for 1, or train on drawings without labels with --set episode.memory=none",
            }
            hint = hints.get(characters.n_classes, f"ask for 1 to {characters.n_classes}")
            raise VmaError(f"{n_way} classes asked for, but the split holds {characters.n_classes}: {hint}")
        self.fewest = int(characters.counts.min())
        if self.shots[0] + n_target > self.fewest:
            raise VmaError(
                f"{self.shots[0]} in memory and {n_target} targets of each class asked for, "
                f"but a class of this split has {self.fewest} drawings: ask for fewer"
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
        _, u = map(float, torch.rand(2, generator=draw, dtype=torch.float64))  # earlier versions took the second
        return log_uniform(fewest, min(most, self.fewest - self.n_target), u)


def log_uniform(low: int, high: int, u: float) -> int:
    """Of u uniform in [0, 1), an integer in low … high, from 1 on; n has probability ∝ log((n + 1) / n)."""
    return min(int(low * ((high + 1) / low) ** u), high)


def make(config: Options, characters: Characters, seed: int, device: torch.device | str) -> EpisodeSampler:
    """As configured."""
    if config.strokes:
        need_finer(characters, "episode.strokes")
    changes = Augmentation(
        config.turned,
        config.warped,
        characters.size,
        jittered=config.jittered,
        strokes=config.strokes,
        binary=characters.levels == 1,
    )
    return EpisodeSampler(
        characters,
        n_way=config.classes,
        n_shot=config.shots,
        n_target=config.targets,
        seed=seed,
        device=device,
        n_memories=config.memories,
        shots=config.shots_between,
        augmentation=changes if config.turned or config.warped or config.jittered or config.strokes else None,
    )
