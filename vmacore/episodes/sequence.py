"""Sequences of drawings of a few classes, each conditional on those before it (Bartunov & Vetrov, arXiv:1612.02192).

Two protocols. Without replacement no drawing comes twice in a sequence. With replacement, as in the released code of
the generative matching network, drawings are drawn anew each time, so that a target may itself be in memory.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from vmacore.config import EpisodeConfig
from vmacore.data.characters import Characters
from vmacore.episodes.base import Episode, Pixels, ahead, shuffled_drawings
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator


class Options(EpisodeConfig):
    """The keys that it reads. A sequence is of at most `classes` classes."""

    sequences: int = Field(8, ge=1)  # of a step
    length: int = Field(10, ge=1)  # drawings of each
    replacement: bool = False  # whether a drawing may come twice

    @property
    def masked(self) -> bool:
        return True

    @property
    def may_be_empty(self) -> bool:
        return True  # for the first of a sequence


class SequenceSampler:
    """Sequences to train on: of each image the earlier ones of its own sequence are the memory.

    n_sequences sequences of `length` images, each image of one of max_classes classes that the sequence has drawn. Of
    an episode the targets are the memory, n_sequences · length images, and its mask says who is earlier.

    Raises:
        VmaError: more classes than there are, or, without replacement, longer sequences than a class has drawings.
    """

    def __init__(
        self,
        characters: Characters,
        *,
        n_sequences: int,
        length: int,
        max_classes: int,
        seed: int,
        replacement: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        _check(characters, max_classes, length, replacement)
        self.characters, self.seed, self.replacement = characters, seed, replacement
        self.n_sequences, self.length, self.max_classes = n_sequences, length, max_classes
        self._pixels = Pixels(characters, seed, device)
        place = torch.arange(n_sequences * length, device=device)
        same = place[:, None] // length == place // length
        self._mask = same & (place < place[:, None])

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""
        draw = generator(self.seed, step, Stream.EPISODE)
        labels = torch.randint(self.max_classes, (self.n_sequences, self.length), generator=draw)
        index = torch.cat([_drawings(self.characters, own, self.max_classes, self.replacement, draw) for own in labels])
        images = self._pixels.at(step)(index)
        first = torch.arange(self.n_sequences)[:, None] * self.max_classes
        labels = ahead((labels + first).flatten(), images.device)
        return Episode(images, images, labels, labels, index, index, self._mask)


class SetSampler:
    """A target and the set that it is conditional on, to evaluate a model whatever it was trained on.

    Without each_class, as in a sequence: n_items images before it, each of any of n_classes classes, its own perhaps
    not among them. With each_class: n_items images of each class. Of a seed and step the target is the same whatever
    n_classes and n_items, and sets are nested as n_items grows up to `longest`.

    Raises:
        VmaError: more classes than there are, or, without replacement, more items than a class has drawings left.
    """

    def __init__(
        self,
        characters: Characters,
        *,
        n_classes: int,
        n_items: int,
        each_class: bool,
        seed: int,
        replacement: bool = False,
        longest: int = 19,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 <= n_items <= longest:
            raise ValueError(f"sets of {n_items} items, but the longest has {longest}")
        _check(characters, n_classes, 1 + longest, replacement)
        self.characters, self.seed, self.replacement = characters, seed, replacement
        self.n_classes, self.n_items, self.each_class, self.longest = n_classes, n_items, each_class, longest
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The episode of a step, whatever was drawn before."""
        draw = generator(self.seed, step, Stream.EPISODE)
        C = self.n_classes
        labels = torch.randint(C, (1 + self.longest,), generator=draw)
        if self.each_class:
            labels = torch.arange(C).repeat(1 + self.longest)[C - 1 :]
        labels[0] = 0  # as likely to be any class as another label is, since the classes come in random order
        index = _drawings(self.characters, labels, C, self.replacement, draw)
        images = self._pixels.at(step)(index)
        end = 1 + self.n_items * (C if self.each_class else 1)
        labels = ahead(labels, images.device)
        return Episode(images[:1], images[1:end], labels[:1], labels[1:end], index[:1], index[1:end])


def _drawings(
    characters: Characters, labels: Tensor, n_classes: int, replacement: bool, draw: torch.Generator
) -> Tensor:
    """Drawings int64 [T] of classes drawn anew, of which each item's label [T] names one."""
    classes = torch.randperm(characters.n_classes, generator=draw)[:n_classes]
    if replacement:
        own = classes[labels]
        uniform = torch.rand(len(labels), dtype=torch.float64, generator=draw)
        return characters.offsets[own] + (uniform * characters.counts[own]).long()
    earlier = (labels[:, None] == labels).tril(-1).sum(1)  # of the same class
    return shuffled_drawings(characters, classes, draw)[labels, earlier]


def _check(characters: Characters, classes: int, length: int, replacement: bool) -> None:
    held = characters.n_classes
    if not 1 <= classes <= held:
        raise VmaError(f"{classes} classes asked for, but the split holds {held}: ask for 1 to {held}")
    fewest = int(characters.counts.min())
    if length > fewest and not replacement:
        raise VmaError(
            f"{length} drawings in a row without replacement asked for, but a class of this split has {fewest}"
        )


def make(config: Options, characters: Characters, seed: int, device: torch.device | str) -> SequenceSampler:
    """As configured."""
    return SequenceSampler(
        characters,
        n_sequences=config.sequences,
        length=config.length,
        max_classes=config.classes,
        seed=seed,
        replacement=config.replacement,
        device=device,
    )
