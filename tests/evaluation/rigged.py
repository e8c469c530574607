"""A model whose keys, queries and likelihoods are given, and drawings that tell their class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vmacore.config import ModelConfig
from vmacore.data.characters import Characters
from vmacore.evaluation.accuracy import Classification
from vmacore.evaluation.classification import classify
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms
from vmacore.models.vma import VariationalMemoryAddressing

COUNTS = [6, 9, 7, 6, 8, 12]


def numbered(counts: list[int]) -> Characters:
    """Drawings that tell their class by the pixel that is ink in row 0, and their number within it by one below."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.zeros(len(labels), 8, 8, dtype=torch.uint8)
    images[torch.arange(len(labels)), 0, labels] = 1
    number = torch.cat([torch.arange(count) for count in counts])
    images[torch.arange(len(labels)), 1 + number // 8, number % 8] = 1
    return Characters(images, labels, tuple(str(index) for index in range(len(counts))))


class Rigged(VariationalMemoryAddressing):
    """Keys and queries of images [N, 1, H, W] by the functions given, and p(x, z|m_a) / q(z|x, m_a) by `evidence`."""

    def __init__(
        self,
        keys: Callable[[Tensor], Tensor],
        queries: Callable[[Tensor], Tensor],
        size: tuple[int, int] = (8, 8),
        learned_slots: int = 0,
        evidence: Callable[[Tensor, Tensor], Tensor] | None = None,
        log_prior: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        layout: dict[str, Any] = {"network": "fully-connected", "layers": (2, 2), "latent": 1, "embedding": 6}
        super().__init__(ModelConfig(size=size, similarity="inner", learned_slots=learned_slots, slot=6, **layout))
        self.functions = keys, queries, evidence, log_prior

    def keys(self, slots: Tensor) -> Tensor:
        return self.functions[0](slots)

    def queries(self, targets: Tensor) -> Tensor:
        return self.functions[1](targets)

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        log_prior = self.functions[3] or (lambda images: torch.zeros(len(images)).log_softmax(0))
        return EncodedMemory(slots, self.keys(slots), log_prior(slots))

    def log_terms(self, targets: Tensor, memory: EncodedMemory, address: Tensor, *_: Any, **__: Any) -> LogTerms:
        assert self.functions[2] is not None
        log_w = self.functions[2](targets, memory.slots).gather(1, address)
        return LogTerms(log_w, torch.zeros_like(log_w), torch.zeros_like(log_w), torch.zeros_like(log_w))


def class_of(images: Tensor) -> Tensor:
    return images[:, 0, 0, :6].float()


def nothing(images: Tensor) -> Tensor:
    return torch.zeros(len(images), 6)


PERFECT = Rigged(class_of, lambda images: 3 * class_of(images))


def classified(model: GenerativeModel, characters: Characters, **changes: Any) -> Classification:
    return classify(model, characters, **{"way": 4, "shot": 2, "episodes": 6, "seed": 3, **changes})


def noisy() -> Characters:
    """Binary drawings with so many flips that their neighbours are often of another class."""
    draw = torch.Generator().manual_seed(0)
    shapes = torch.rand(6, 8, 8, generator=draw) < 0.5
    labels = torch.arange(6).repeat_interleave(torch.tensor(COUNTS))
    flips = torch.rand(len(labels), 8, 8, generator=draw) < 0.3
    return Characters((shapes[labels] ^ flips).to(torch.uint8), labels, tuple(str(index) for index in range(6)))
