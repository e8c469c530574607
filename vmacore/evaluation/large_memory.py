"""Bounds and classes of drawings given one memory for all of them, however large."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vmacore.errors import VmaError
from vmacore.evaluation.accuracy import interval
from vmacore.evaluation.likelihood import Parts, decoded_at_once, score_targets
from vmacore.memory.encoded import EncodedMemory
from vmacore.memory.large import LargeMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

BATCH = 32  # targets that address the memory at a time


@dataclass(frozen=True, kw_only=True)
class MemoryScore(Parts):
    """The parts of targets that share one memory; nll_se is over targets. per_target: minus the bound of each."""

    samples: int
    per_target: tuple[float, ...]


@torch.no_grad()
def score_memory(
    model: GenerativeModel,
    targets: Tensor,
    memory: EncodedMemory,
    *,
    samples: int,
    seed: int = 0,
    batch: int = BATCH,
    budget_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MemoryScore:
    """The K-sample bound of targets [N, 1, H, W] given a memory that was read, and its parts; `seed` fixes the noise.

    `budget_bytes` limits what decoding holds at a time, not the result. progress(done, total) counts targets.

    Raises:
        VmaError: fewer than 2 targets, which have no standard error, or counts below 1.
    """
    if len(targets) < 2 or min(samples, batch) < 1:
        raise VmaError("a score needs at least 2 targets, and at least 1 sample and 1 target at a time")
    rows, each = [], []
    for means, nll in _scored(model, targets, memory, samples, seed, batch, budget_bytes):
        rows.append(means.cpu().double() * len(nll) / len(targets))
        each += nll.tolist()
        if progress:
            progress(len(each), len(targets))
    nll_mean, reconstruction, kl_address, kl_latent, prior, posterior = torch.stack(rows).sum(0)[:6].tolist()
    return MemoryScore(
        nll=nll_mean,
        nll_se=float(torch.tensor(each).std()) / math.sqrt(len(each)),
        reconstruction=reconstruction,
        kl_address=kl_address,
        kl_latent=kl_latent,
        prior_entropy=prior,
        posterior_entropy=posterior,
        targets=len(each),
        slots=len(memory),
        samples=samples,
        per_target=tuple(each),
    )


@torch.no_grad()
def memory_bounds(
    model: GenerativeModel, targets: Tensor, memory: EncodedMemory, *, samples: int, seed: int = 0
) -> Tensor:
    """The K-sample bound on log p(x|M) [N], nats, of targets [N, 1, H, W], as `score_memory` takes its mean."""
    return torch.cat([-nll for _, nll in _scored(model, targets, memory, samples, seed, BATCH, None)])


def _scored(
    model: GenerativeModel,
    targets: Tensor,
    memory: EncodedMemory,
    samples: int,
    seed: int,
    batch: int,
    budget_bytes: int | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `score_targets` returns of each batch of targets."""
    chunk = decoded_at_once(model, targets.device, budget_bytes)
    for index, part in enumerate(targets.split(batch)):
        noise = generator(seed, index, Stream.NOISE, targets.device)
        yield score_targets(model, part, memory, samples, noise, chunk)


@torch.no_grad()
def class_posterior(model: VariationalMemoryAddressing, targets: Tensor, memory: LargeMemory) -> Tensor:
    """log q(c|x) = log Σ_{a∈c} q(a|x) [N, C] of targets [N, 1, H, W]: every class of the memory is an alternative.

    Raises:
        VmaError: a memory whose slots have no classes.
    """
    if memory.labels is None:
        raise VmaError("this memory's slots have no classes: write it with labels")
    return model.address(targets, memory).class_log_prob(memory.labels, memory.classes)


@torch.no_grad()
def classify_by_memory(
    model: VariationalMemoryAddressing,
    targets: Tensor,
    labels: Tensor,
    memory: LargeMemory,
    *,
    batch: int = BATCH,
) -> tuple[float, float]:
    """How often argmax_c q(c|x) of targets [N, 1, H, W] is their class, labels [N], and half the 95 % interval.

    Raises:
        VmaError: as `class_posterior`, or fewer than 2 targets.
    """
    if len(targets) < 2:
        raise VmaError("an interval needs at least 2 targets")
    right = [
        (class_posterior(model, part, memory).argmax(1) == own).float()
        for part, own in zip(targets.split(batch), labels.split(batch), strict=True)
    ]
    return interval(torch.cat(right))
