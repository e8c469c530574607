"""Batches that labels teach h with: drawings of characters, each character in two of its symmetries as two classes.

So a character stands beside its own mirror image or quarter turn, which is the hardest to tell from it; and all eight
symmetries of the square make new characters out of those there are (Santoro et al. 2016).

Of "drawings", a single drawing stands for a character, changed anew each time it is there (Dosovitskiy et al. 2014).
Such a batch is the same whatever class a drawing is of.
"""

from __future__ import annotations

import torch

from vmacore.config import LabelsConfig
from vmacore.data.characters import Characters
from vmacore.episodes.augmentation import Augmentation, restroked, stroke_kinds, turned
from vmacore.episodes.base import Episode, Pixels, ahead, need_finer, shuffled_drawings
from vmacore.errors import VmaError
from vmacore.seeds import Stream, generator

SYMMETRIES = 2  # of each character in a batch


class LabelBatches:
    """A batch is an episode without targets: `drawings` of each of `classes` classes in memory, each changed anew.

    Raises:
        VmaError: drawings that are not square, or too few of a class.
    """

    def __init__(
        self, characters: Characters, config: LabelsConfig, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        if characters.size[0] != characters.size[1]:
            raise VmaError(f"drawings of {characters.size} cannot be turned, as labels need: set labels.weight to 0")
        if config.strokes:
            need_finer(characters, "labels.strokes")
        self.of_classes, fewest = config.of == "classes", int(characters.counts.min())
        if self.of_classes and SYMMETRIES * config.drawings > fewest:
            most = fewest // SYMMETRIES
            way_out = f"set labels.drawings to {most} or less" if most > 1 else "set labels.of to drawings"
            taken = f"{SYMMETRIES} × {config.drawings} drawings of a class"
            raise VmaError(f"labels take {taken}, and one of this split has {fewest}: {way_out}")
        self.characters, self.config, self.seed = characters, config, seed
        there = characters.n_classes if self.of_classes else len(characters.images)
        self.count = min(config.classes // SYMMETRIES, there)
        binary, size = characters.levels == 1, characters.size
        self.changes = Augmentation(0.0, 0.0, size, jittered=config.jittered, bent=config.bent, binary=binary)
        self._pixels = Pixels(characters, seed, device)

    def at(self, step: int) -> Episode:
        """The batch of a step, whatever was drawn before."""
        draw, per_class = generator(self.seed, step, Stream.EPISODE), self.config.drawings
        if self.of_classes:
            classes = torch.randperm(self.characters.n_classes, generator=draw)[: self.count]
            index = shuffled_drawings(self.characters, classes, draw)[:, : SYMMETRIES * per_class].flatten()
        else:
            drawings = torch.randperm(len(self.characters.images), generator=draw)[: self.count]
            index = drawings.repeat_interleave(SYMMETRIES * per_class)
        draw = generator(self.seed, step, Stream.AUGMENTATION)
        symmetry = torch.rand(self.count, 8, generator=draw).argsort(1)[:, :SYMMETRIES].flatten()
        images = self._pixels.drawings(index)
        if self.config.strokes:
            images = restroked(images, ahead(stroke_kinds(len(images), self.config.strokes, draw), images.device))
        labels = ahead(torch.arange(len(symmetry)).repeat_interleave(per_class), images.device)
        images = turned(
            self.changes.draw(1, draw)(images, torch.zeros_like(labels)), ahead(symmetry, images.device)[labels]
        )
        none = torch.zeros(0, dtype=torch.int64)
        return Episode(
            targets=images[:0],
            memory=self._pixels.binary(step)(images),
            target_labels=labels[:0],
            memory_labels=labels,
            target_index=none,
            memory_index=index,
        )
