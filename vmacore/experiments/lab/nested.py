"""Memories of growing size, all asked for the same targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode, Pixels
from vmacore.errors import VmaError
from vmacore.evaluation.errors import target_classes
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.systems import Found
from vmacore.seeds import Stream, generator


@dataclass(frozen=True)
class Memory:
    """What is measured: a system, by its key, with so many classes in memory and so many drawings of each."""

    system: str
    classes: int
    shots: int

    @property
    def slots(self) -> int:
        return self.classes * self.shots


@dataclass(frozen=True)
class Asked:
    """What every memory is asked.

    total: the classes that a round asks for; `classes` of every memory divides it. targets: of each class in a round.
    samples: K.
    """

    total: int
    targets: int
    samples: int
    rounds: int
    seed: int = 0

    def labels(self, characters: Characters, measured: Mapping[Memory, Score]) -> list[int]:
        """Class of every target that was measured, in the order of `Score.per_target`, whatever the memory."""
        if not measured:
            return []
        sampler = self.sampler(characters, self.total, shots=1)
        count = next(iter(measured.values())).targets
        return target_classes(sampler, characters, count // (self.total * self.targets))

    def sampler(
        self, characters: Characters, classes: int, shots: int, device: torch.device | str = "cpu"
    ) -> NestedSampler:
        """Episodes with so many classes in memory and so many drawings of each."""
        return NestedSampler(
            characters,
            classes=classes,
            shots=shots,
            targets=self.targets,
            seed=self.seed,
            total=self.total,
            device=device,
        )


def measure(
    lab: Lab, found: Found, memories: Sequence[Memory], characters: Characters, asked: Asked
) -> dict[Memory, Score]:
    """Scores of each memory on the same targets, in as many rounds as the budget allows; none where it allows none.

    Systems without a model are left out.
    """
    there = systems.there(found)
    wanted = [memory for memory in memories if memory.system in there]

    def score(count: int) -> dict[Memory, Score]:
        measured = {}
        for memory in wanted:
            sampler = asked.sampler(characters, memory.classes, memory.shots, lab.device)
            system, episodes = {memory.system: found[memory.system]}, count * sampler.blocks
            scored = systems.scores(
                lab, system, sampler, samples=asked.samples, episodes=episodes, seed=asked.seed, fixed=True
            )
            measured[memory] = scored[memory.system]
        return measured

    return (lab.within_budget(score, asked.rounds) if wanted else None) or {}


class NestedSampler:
    """Memories of growing size with the same targets.

    A round of `blocks` episodes shuffles `total` classes and the drawings of each. Its memories are blocks of
    `classes` classes in that order with the first `shots` drawings of each; targets are the last `targets` drawings of
    the block's classes, whatever `shots`. So whole rounds ask for the same targets in the same order whatever the size,
    and where one number of classes divides another, every target's smaller memory is part of its larger one.

    characters: binary ones.

    Raises:
        VmaError: more classes or drawings than there are.
    """

    def __init__(
        self,
        characters: Characters,
        *,
        classes: int,
        shots: int,
        targets: int,
        seed: int,
        total: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.total = characters.n_classes if total is None else total
        fewest = int(characters.counts.min())
        if not classes <= self.total <= characters.n_classes:
            raise VmaError(f"{classes} of {self.total} classes asked for, but the split holds {characters.n_classes}")
        if self.total % classes:
            raise ValueError(f"{self.total} classes cannot be cut into blocks of {classes}")
        if shots + targets > fewest:
            raise VmaError(f"{shots} + {targets} drawings of a class asked for, but one of this split has {fewest}")
        self.characters, self.seed = characters, seed
        self.classes, self.shots, self.targets = classes, shots, targets
        self.blocks = self.total // classes
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The episode of a step: a block of a round."""
        turn, block = divmod(step, self.blocks)
        draw = generator(self.seed, turn, Stream.EPISODE)
        order = torch.randperm(self.characters.n_classes, generator=draw)[: self.total]
        shuffled = [
            int(self.characters.offsets[c]) + torch.randperm(int(self.characters.counts[c]), generator=draw)
            for c in order.tolist()
        ]
        mine = shuffled[block * self.classes : (block + 1) * self.classes]
        memory_index = torch.cat([drawings[: self.shots] for drawings in mine])
        target_index = torch.cat([drawings[-self.targets :] for drawings in mine])
        pixels = self._pixels.at(turn)
        label = torch.arange(self.classes, device=self._pixels.images.device)
        return Episode(
            targets=pixels(target_index),
            memory=pixels(memory_index),
            target_labels=label.repeat_interleave(self.targets),
            memory_labels=label.repeat_interleave(self.shots),
            target_index=target_index,
            memory_index=memory_index,
        )
