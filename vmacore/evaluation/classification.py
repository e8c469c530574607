"""N-way K-shot classification by the address posterior, with nothing retrained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vmacore.addressing import address_posterior
from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import check_size
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

RULES = ("posterior",)


@dataclass(frozen=True)
class Classification:
    """Accuracy over episodes with half the width of its 95 % interval; `pixel_*`: nearest neighbour on pixels."""

    way: int
    shot: int
    rule: str
    accuracy: float
    ci95: float
    episodes: int
    queries: int
    pixel_accuracy: float
    pixel_ci95: float


@torch.no_grad()
def classify(
    model: VariationalMemoryAddressing,
    characters: Characters,
    *,
    way: int,
    shot: int,
    episodes: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    rule: str = "posterior",
    progress: Callable[[int, int], None] | None = None,
) -> Classification:
    """Accuracy of argmax_c Σ_{a∈c} q(a|x) (rule "posterior", section 4.2).

    An episode draws `way` classes of all there are, `shot` drawings of each into memory, and takes every drawing left
    over as a query. Nearest neighbour on pixels (Euclidean) is measured on the same episodes.

    Raises:
        VmaError: more classes or shots than there are, an unknown rule, a learned memory, or images of another size.
    """
    check_task(model, characters, way=way, shot=shot, episodes=episodes, rule=rule)
    images = characters.images.to(device)
    pixels = images.flatten(1).float()
    keys, queries = _embeddings(model.keys, images), _embeddings(model.queries, images)
    ours, nearest, answered = [], [], 0
    for index in range(episodes):
        support, support_label, query, query_label = _episode(characters, way, shot, seed, index, device)
        log_q = address_posterior(keys[support], queries[query], model.config.similarity)  # [Q, way · shot]
        by_class = log_q.view(len(query), way, shot).logsumexp(2)
        ours.append((by_class.argmax(1) == query_label).float().mean())
        closest = torch.cdist(pixels[query], pixels[support]).argmin(1)
        nearest.append((support_label[closest] == query_label).float().mean())
        answered += len(query)
        if progress:
            progress(index + 1, episodes)
    accuracy, ci95 = _interval(torch.stack(ours))
    pixel_accuracy, pixel_ci95 = _interval(torch.stack(nearest))
    return Classification(way, shot, rule, accuracy, ci95, episodes, answered, pixel_accuracy, pixel_ci95)


def check_task(
    model: VariationalMemoryAddressing, characters: Characters, *, way: int, shot: int, episodes: int, rule: str
) -> None:
    """Raises what `classify` would raise, before anything is computed."""
    if rule not in RULES:
        raise VmaError(f"there is no rule {rule!r}; choose one of {', '.join(RULES)}")
    if model.learned_memory is not None:
        raise VmaError("this model's memory is learned, so its slots have no class: classify with a few-shot model")
    if not 2 <= way <= characters.n_classes:
        raise VmaError(f"{way}-way asked for, but the split holds {characters.n_classes} classes: choose 2 to that")
    fewest = int(characters.counts.min())
    if not 1 <= shot < fewest:
        raise VmaError(f"{shot}-shot asked for, but a class has {fewest} drawings: choose 1 to {fewest - 1}")
    if episodes < 2:
        raise VmaError("an interval needs at least 2 episodes")
    check_size(model, characters)


def _embeddings(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([network(part.float()[:, None]) for part in images.split(512)])


def _episode(
    characters: Characters, way: int, shot: int, seed: int, index: int, device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Indices of drawings in memory and of queries, each with the class within the episode, sorted by it."""
    draw = generator(seed, index, Stream.EPISODE)
    support, query = [], []
    for label in torch.randperm(characters.n_classes, generator=draw)[:way].tolist():
        first, count = int(characters.offsets[label]), int(characters.counts[label])
        drawings = first + torch.randperm(count, generator=draw)
        support.append(drawings[:shot])
        query.append(drawings[shot:])
    label = torch.arange(way)
    support_label = label.repeat_interleave(shot)
    query_label = label.repeat_interleave(torch.tensor([len(part) for part in query]))
    parts = (torch.cat(support), support_label, torch.cat(query), query_label)
    return tuple(part.to(device) for part in parts)  # type: ignore[return-value]


def _interval(values: Tensor) -> tuple[float, float]:
    values = values.cpu().double()
    return float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
