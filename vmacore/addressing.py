"""Addressing: similarities, the address prior and posterior, exact drawing (equations 4 to 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.seeds import uniform

# Which sides of ⟨e_a, e_x⟩ are normalised, slots and queries. Only the memory side of the paper's own is: the norm of a
# query is the inverse temperature of its softmax.
SIMILARITIES = {"normalised": (True, False), "inner": (False, False), "cosine": (True, True)}


def slot_side(keys: Tensor, similarity: str = "normalised") -> Tensor:
    """Keys [S, E] as the similarity takes them: it is their inner product with the `query_side` of queries."""
    return F.normalize(keys, dim=1) if SIMILARITIES[similarity][0] else keys


def query_side(queries: Tensor, similarity: str = "normalised") -> Tensor:
    """Queries [B, E] as the similarity takes them."""
    return F.normalize(queries, dim=1) if SIMILARITIES[similarity][1] else queries


def similarities(keys: Tensor, queries: Tensor, similarity: str = "normalised") -> Tensor:
    """S(m_a, x) [B, S] of slots with embeddings keys [S, E] to queries [B, E] (equation 5)."""
    # The logarithms of probabilities, in float32 at least, whatever the networks run in.
    with torch.autocast(keys.device.type, enabled=False):
        precise = torch.promote_types(torch.promote_types(keys.dtype, queries.dtype), torch.float32)
        return query_side(queries.to(precise), similarity) @ slot_side(keys.to(precise), similarity).T


def address_posterior(keys: Tensor, queries: Tensor, similarity: str = "normalised") -> Tensor:
    """log q(a|x, M) [B, S] for keys e_a = h(m_a) [S, E] and queries e_x = h_q(x) [B, E] (equations 4 and 5)."""
    log_q: Tensor = similarities(keys, queries, similarity).log_softmax(1)
    return log_q


def address_prior(keys: Tensor, point: Tensor | None, similarity: str = "normalised") -> Tensor:
    """log p(a|M) [S] for a learned query point e_p [E] (equation 6), or flat where there is none."""
    if point is None:
        return keys.new_zeros(len(keys)).log_softmax(0)
    return address_posterior(keys, point[None], similarity)[0]


@dataclass(frozen=True, eq=False)
class Addressing:
    """What is known about addresses before any is drawn; entropies and divergences in nats.

    log_q: log q(a|x) [B, S].
    log_p: log p(a) [S].
    """

    log_q: Tensor
    log_p: Tensor

    def kl(self) -> Tensor:
        """KL(q(a|x) ‖ p(a)) [B], exact: a sum over the slots."""
        q = self.log_q.exp()
        # A slot whose probability underflows contributes nothing, as the limit of t log t does. Filled in before the
        # product, so that its gradient is 0 too, and what is not a number stays one.
        return (q * (self.log_q - self.log_p).masked_fill(q == 0, 0.0)).sum(1)

    def posterior_entropy(self) -> Tensor:
        """Entropy of q(a|x) [B]."""
        return _entropy(self.log_q)

    def prior_entropy(self) -> Tensor:
        """Entropy of p(a), a scalar."""
        return _entropy(self.log_p)

    @cached_property
    def _cumulative(self) -> Tensor:
        return _cumulative(self.log_q)

    def draw(self, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """Addresses a ~ q(a|x), int64 [B, samples], exactly: the inverse of the cumulative distribution in float64."""
        return _inverse_cdf(self._cumulative, samples, generator)

    def posterior_at(self, address: Tensor) -> Tensor:
        """log q(a|x) [B, K] at addresses [B, K]."""
        return self.log_q.gather(1, address)

    def log_weight(self, address: Tensor) -> Tensor:
        """log p(a) − log q(a|x) [B, K] at addresses [B, K]: the address's terms of log w."""
        return self.log_p[address] - self.posterior_at(address)

    def class_log_prob(self, labels: Tensor, classes: int) -> Tensor:
        """log Σ_{a∈c} q(a|x) [B, classes] for the class of every slot, int64 [S]; −inf for a class without slots."""
        B, S = self.log_q.shape
        labels = labels.long()
        top = self.log_q.new_full((B, classes), -math.inf)
        top.scatter_reduce_(1, labels.expand(B, S), self.log_q.detach(), "amax")
        finite = top.masked_fill(top == -math.inf, 0.0)
        mass = torch.zeros_like(top).index_add(1, labels, (self.log_q - finite[:, labels]).exp())
        return mass.log() + finite

    def draw_prior(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Addresses a ~ p(a), int64 of the shape given."""
        count = int(torch.Size(shape).numel())
        return _inverse_cdf(_cumulative(self.log_p[None]), count, generator).view(shape)


def _cumulative(log_probability: Tensor) -> Tensor:
    return log_probability.detach().to(precise(log_probability)).exp().cumsum(1)


def precise(like: Tensor) -> torch.dtype:
    """The precision of cumulative distributions: float64, which Apple's GPUs do not have."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def _inverse_cdf(cumulative: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
    total = cumulative[:, -1:]
    numbers = uniform((len(cumulative), samples), generator, cumulative)
    # Probabilities that are not numbers have no inverse; clamped, they reach the loss, where they are reported.
    return torch.searchsorted(cumulative, below(total, numbers), right=True).clamp_(max=cumulative.shape[1] - 1)


def below(total: Tensor, fraction: Tensor) -> Tensor:
    """Fractions in [0, 1) of totals, of shapes that broadcast, and below the totals whatever the rounding.

    Searched for with right=True in a cumulative distribution, they never give a slot of probability zero.
    """
    return torch.minimum(fraction * total, torch.nextafter(total, torch.zeros_like(total)))


def _entropy(log_probability: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(log_probability.exp()).sum(-1)
    return entropy
