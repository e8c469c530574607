"""A memory shared out to several processes, addressed exactly: each holds some of the slots, and all ask as one.

Every process makes the same calls in the same order, with the same queries and generators of the same state, and gets
the same answers: those of the whole memory in one process. What travels is a number for each query (the mass of a
shard's slots), the addresses drawn, and the contents of the slots that were drawn. Nothing here has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.addressing import Addressing, below, precise, query_side, similarities, slot_side
from vmacore.distributed import everyone, rank, total, world_size
from vmacore.memory.encoded import EncodedMemory
from vmacore.memory.streamed import StreamedAddressing
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import uniform


@dataclass(frozen=True, eq=False)
class ShardedMemory(EncodedMemory):
    """A memory of which this process holds a shard; slots, keys and log p(a), which sums to 1 over all, are its own.

    Addresses count all slots. shard: this process's slots. first: the address of the first of them. count: all slots.
    """

    shard: EncodedMemory = field(kw_only=True)
    first: int = field(kw_only=True)
    count: int = field(kw_only=True)

    def __len__(self) -> int:
        return self.count

    def contents(self, index: Tensor) -> Tensor:
        """Contents [T, …] of the slots at index [T] of all, each from the process that holds it."""
        own, at = _own(index, self.first, len(self.shard))
        found = self.shard.contents(at)
        return total(found * own.view(-1, *[1] * (found.dim() - 1)).to(found.dtype))

    def address(self, queries: Tensor, similarity: str) -> ShardedAddressing:
        """q(a|x, M) and p(a|M) of all slots for queries [B, E]."""
        local = self.shard.address(queries, similarity)
        if not isinstance(local, StreamedAddressing):
            keys = slot_side(self.keys, similarity)
            local = StreamedAddressing(keys, query_side(queries, similarity), self.log_prior)
        return ShardedAddressing(local, self.first, self.count)


def split(memory: EncodedMemory) -> ShardedMemory:
    """This process's shard of a memory that all of them have, or have mapped from one file: only the shard is read.

    Raises:
        ValueError: a mask, or fewer slots than processes.
    """
    S, size = len(memory), world_size()
    if memory.mask is not None or size > S:
        raise ValueError("a memory is shared out without a mask, and at least one slot to a process")
    first, end = (S * edge // size for edge in (rank(), rank() + 1))
    labels = getattr(memory, "labels", None)
    changes = {} if labels is None else {"labels": labels[first:end]}
    slots, keys, log_prior = (part[first:end] for part in (memory.slots, memory.keys, memory.log_prior))
    shard = replace(memory, slots=slots, keys=keys, log_prior=log_prior, **changes)
    return ShardedMemory(slots, keys, log_prior, shard=shard, first=first, count=S)


def join(part: EncodedMemory, model: VariationalMemoryAddressing) -> ShardedMemory:
    """One memory of the parts that the processes have read, each its own, in the order of the processes.

    p(a|M) is normalised anew over all slots; the model is the one that read the parts.

    Raises:
        ValueError: a mask.
    """
    if part.mask is not None:
        raise ValueError("a memory is shared out without a mask")
    score = part.keys.new_zeros(len(part), dtype=precise(part.keys))
    if model.query_point is not None:
        point, similarity = model.query_point.detach(), model.config.similarity
        score = similarities(part.keys.detach(), point[None], similarity)[0].to(score.dtype)
    log_prior = (score - everyone(score.logsumexp(0, keepdim=True)).logsumexp(0)).to(part.log_prior.dtype)
    counts = everyone(torch.tensor([len(part)], device=part.keys.device)).tolist()
    shard = replace(part, log_prior=log_prior)
    return ShardedMemory(part.slots, part.keys, log_prior, shard=shard, first=sum(counts[: rank()]), count=sum(counts))


class ShardedAddressing(Addressing):
    """What `Addressing` tells, of slots that several processes hold.

    The normaliser is the log-sum-exp of the shards' own. An address is drawn by the mass of the shards, then by its
    holder within the shard: the same random numbers give the same addresses as one process draws.

    local: this process's slots by themselves, with log p(a) normalised over all. first, count: as in `ShardedMemory`.
    """

    local: StreamedAddressing
    first: int
    count: int

    def __init__(self, local: StreamedAddressing, first: int, count: int) -> None:
        # Not the constructor of the base: it would set log_q and log_p, which are made only when asked for.
        vars(self).update(local=local, first=first, count=count)

    @cached_property
    def log_masses(self) -> Tensor:
        """log Σ_a exp S(m_a, x) of every shard [size, B], float64."""
        return everyone(self.local.log_normaliser[None])

    @cached_property
    def log_normaliser(self) -> Tensor:
        """log Σ_a exp S(m_a, x) [B] over all slots, float64."""
        return self.log_masses.logsumexp(0)

    @cached_property
    def log_q(self) -> Tensor:
        """log q(a|x) [B, S] of all slots, all at once: B·S numbers."""
        share = (self.local.log_normaliser - self.log_normaliser)[:, None]
        return self._gathered((self.local.log_q + share).to(self.local.log_q.dtype))

    @cached_property
    def log_p(self) -> Tensor:
        """log p(a) [S] of all slots, all at once."""
        return self._gathered(self.local.log_p)

    def posterior_at(self, address: Tensor) -> Tensor:
        """log q(a|x) [B, K] at addresses [B, K]."""
        own, at = _own(address, self.first, len(self.local.keys))
        score = total(self.local.score_at(at).masked_fill(~own, 0.0))
        return (score - self.log_normaliser[:, None]).to(score.dtype)

    def log_weight(self, address: Tensor) -> Tensor:
        """log p(a) − log q(a|x) [B, K] at addresses [B, K]: the address's terms of log w."""
        own, at = _own(address, self.first, len(self.local.keys))
        return total(self.local.log_p[at].masked_fill(~own, 0.0)) - self.posterior_at(address)

    def class_log_prob(self, labels: Tensor, classes: int) -> Tensor:
        """log Σ_{a∈c} q(a|x) [B, classes] for the class of each of this process's slots, integers."""
        mass = everyone(self.local.class_log_mass(labels, classes)[None]).logsumexp(0)
        return mass - self.log_normaliser[:, None]

    def kl(self) -> Tensor:
        """KL(q(a|x) ‖ p(a)) [B], exact."""
        log_q, log_p = self._expectations
        return (log_q - log_p).to(self.local.queries.dtype)

    def posterior_entropy(self) -> Tensor:
        """Entropy of q(a|x) [B]."""
        return -self._expectations[0].to(self.local.queries.dtype)

    def prior_entropy(self) -> Tensor:
        """Entropy of p(a), a scalar."""
        return total(torch.special.entr(self.local.log_p.exp()).sum())

    def draw(self, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """Addresses a ~ q(a|x), int64 [B, samples], exactly."""
        like = self.local.queries.new_empty(0, dtype=precise(self.local.queries))
        fraction = uniform((len(self.local.queries), samples), generator, like)
        return self._drawn(fraction, self._share.T, self.local.locate)

    def draw_prior(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Addresses a ~ p(a), int64 of the shape given."""
        cumulative = self.local.log_p.to(precise(self.local.log_p)).exp().cumsum(0)

        def locate(fraction: Tensor) -> Tensor:
            return torch.searchsorted(cumulative, fraction * cumulative[-1], right=True)

        fraction = uniform((1, torch.Size(shape).numel()), generator, cumulative)
        return self._drawn(fraction, everyone(cumulative[-1:])[None], locate).view(shape)

    @cached_property
    def _share(self) -> Tensor:
        """The probability of every shard under q(a|x) [size, B]."""
        return (self.log_masses - self.log_normaliser).exp()

    @cached_property
    def _expectations(self) -> tuple[Tensor, Tensor]:
        """E_q[log q(a|x)] and E_q[log p(a)], each [B], float64."""
        log_q, log_p = self.local.expectations()
        share = self._share[rank()]
        return total(share * log_q + torch.special.xlogy(share, share)), total(share * log_p)

    def _drawn(self, fraction: Tensor, mass: Tensor, locate: Callable[[Tensor], Tensor]) -> Tensor:
        """Addresses where the distribution over all slots passes fractions [B, K]; mass: of the shards [B, size]."""
        cumulative = mass.cumsum(1)
        point = below(cumulative[:, -1:], fraction)
        shard = torch.searchsorted(cumulative, point, right=True).clamp_(max=mass.shape[1] - 1)
        rest = (point - F.pad(cumulative, (1, 0)).gather(1, shard)) / mass.gather(1, shard)
        own = shard == rank()
        slot = locate(rest.masked_fill(~own, 0.0)).clamp_(max=len(self.local.keys) - 1)
        return total((self.first + slot).masked_fill(~own, 0))

    def _gathered(self, own: Tensor) -> Tensor:
        """[…, S] of all slots, from what every process knows of its own."""
        whole = own.new_zeros(*own.shape[:-1], self.count)
        whole[..., self.first : self.first + own.shape[-1]] = own
        return total(whole)


def _own(address: Tensor, first: int, count: int) -> tuple[Tensor, Tensor]:
    """Which addresses are this process's own, and where in its shard; those of others somewhere in it."""
    at = address - first
    return (at >= 0) & (at < count), at.clamp(0, count - 1)
