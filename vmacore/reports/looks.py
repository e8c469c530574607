"""Where q(a|x) looks: its histogram over the slots for some targets, and the likeliest slots (as figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vmacore.data.characters import Characters
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import check_size
from vmacore.models.base import GenerativeModel
from vmacore.reports.pictures import drawing

CLASSES, SHOTS, TOP = 8, 10, 5
TARGETS = 6


@dataclass(frozen=True)
class Best:
    """One of the likeliest slots; own: of the target's class."""

    picture: str
    label: str
    probability: float
    own: bool


@dataclass(frozen=True)
class Bar:
    """q(a|x) of a slot; own: of the target's class."""

    probability: float
    own: bool


@dataclass(frozen=True)
class Look:
    """A target: its picture and class, q(a|x) of every slot, and the likeliest slots."""

    picture: str
    label: str
    bars: Sequence[Bar]
    best: Sequence[Best]

    @property
    def own(self) -> float:
        """The part of q(a|x) on slots of the target's class."""
        return sum(bar.probability for bar in self.bars if bar.own)

    @property
    def highest(self) -> float:
        """The largest q(a|x)."""
        return max(bar.probability for bar in self.bars)


@dataclass(frozen=True)
class Looks:
    """Targets that share a memory: its classes, each with the picture of its first slot; drawings of each."""

    classes: Sequence[tuple[str, str]]
    shots: int
    looks: Sequence[Look]


@torch.no_grad()
def looks(
    model: GenerativeModel, characters: Characters, *, seed: int = 0, device: torch.device | str = "cpu"
) -> Looks:
    """TARGETS targets of the first memory that `seed` draws, of CLASSES classes × SHOTS drawings or what there is.

    Raises:
        VmaError: a model without addresses or with a learned memory, images of another size, or too few drawings.
    """
    if not model.addressed:
        raise VmaError("this model draws no address, so there is no q(a|x)")
    if model.learned_memory is not None:
        raise VmaError("this model's memory is learned, so its slots have no class")
    check_size(model, characters)
    several = characters.with_at_least(2)
    if several.n_classes < 2:
        raise VmaError("fewer than two classes of this split have two drawings: add drawings")
    deep = several.with_at_least(SHOTS + 1)
    several = deep if deep.n_classes >= CLASSES else several
    way = min(CLASSES, several.n_classes)
    shots = min(SHOTS, int(several.counts.min()) - 1)
    sampler = EpisodeSampler(several, n_way=way, n_shot=shots, n_target=1, seed=seed, device=device)
    episode = sampler.at(0)
    q = model.address(episode.targets, model.read(episode.memory)).log_q.exp().cpu()  # [B, S]
    targets, slots = model.pixels(episode.targets)[:, 0], model.pixels(episode.memory)[:, 0]
    names = [several.classes[c] for c in several.labels[episode.memory_index].tolist()]
    of_slot = episode.memory_labels.cpu()
    pictures = [drawing(slot) for slot in slots]
    found = []
    for row in range(min(TARGETS, len(targets))):
        own = (of_slot == int(episode.target_labels[row])).tolist()
        best = q[row].topk(min(TOP, len(names))).indices.tolist()
        found.append(
            Look(
                drawing(targets[row]),
                several.classes[int(several.labels[episode.target_index[row]])],
                [Bar(p, mine) for p, mine in zip(q[row].tolist(), own, strict=True)],
                [Best(pictures[slot], names[slot], float(q[row, slot]), own[slot]) for slot in best],
            )
        )
    return Looks([(names[c * shots], pictures[c * shots]) for c in range(way)], shots, found)
