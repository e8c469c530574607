"""Rules that choose a class: how q(a|x), the likelihood of every slot, or both, become log p(c|x).

Slots stand in the order of their classes, the same number of each, so a class is a run of neighbouring slots.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vmacore.addressing import address_posterior, slot_side
from vmacore.evaluation.likelihood import decoded_at_once
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.objectives import importance_bound

BLOCK = 2**18  # triples (query, slot, sample) whose noise and terms are held at a time


def class_log_prob(slot_log_prob: Tensor, way: int) -> Tensor:
    """log p(c|x) = log Σ_{a∈c} p(a|x) [Q, way], nats, of log p(a|x) [Q, S] that need not be normalised."""
    normalised = slot_log_prob.log_softmax(1)
    return normalised.view(len(normalised), way, -1).logsumexp(2)


def prototype_log_prob(keys: Tensor, queries: Tensor, way: int, similarity: str) -> Tensor:
    """log p(c|x) [Q, way], nats: q(a|x) with one slot a class, whose key is the mean of the class's keys.

    keys: [S, E] as the similarity takes them, so with unit length where it normalises. queries: [Q, E]. After Snell,
    Swersky & Zemel, *Prototypical networks* (2017).
    """
    prototypes = slot_side(keys, similarity).view(way, -1, keys.shape[1]).mean(1)
    return address_posterior(prototypes, queries, similarity)


@torch.no_grad()
def slot_log_joint(
    model: VariationalMemoryAddressing,
    queries: Tensor,
    slots: Tensor,
    *,
    samples: int,
    generator: torch.Generator | None = None,
    budget_bytes: int | None = None,
) -> Tensor:
    """log p̂(x, m_a) [Q, S], nats, of queries [Q, 1, H, W] and every one of slots [S, 1, H, W], without bias in p̂:

        p̂(x, m_a) = p(a|M) (1/K) Σ_k p(x, z_k|m_a) / q(z_k|x, m_a),   z_k ~ q(z|x, m_a), K = samples

    `budget_bytes` limits what decoding holds at a time, not the result (`decoded_at_once`).
    """
    memory = model.read(slots)
    S = len(memory)
    address = torch.arange(S, device=queries.device).repeat_interleave(samples)
    chunk = decoded_at_once(model, queries.device, budget_bytes)
    parts = []
    # Blocks are of a size that the task alone decides, so that the same noise falls to a query whatever the budget.
    for block in queries.split(max(1, BLOCK // (S * samples))):
        log_terms = model.log_terms(block, memory, address.expand(len(block), -1), generator, chunk)
        parts.append(importance_bound(log_terms.log_weight.view(-1, samples)).view(len(block), S))
    return torch.cat(parts) + memory.log_prior


def mixture(likelihood: Tensor, posterior: Tensor, weight: float) -> Tensor:
    """w log p̂(c|x) + (1 − w) log q(c|x) [Q, C], up to a constant of each query: a geometric mean of two opinions.

    likelihood, posterior: log p̂(c|x) and log q(c|x) [Q, C]. weight: w, from 0 (posterior alone) to 1.
    """
    return weight * likelihood + (1 - weight) * posterior
