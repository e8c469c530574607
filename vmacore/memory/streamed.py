"""Exact addressing of a large memory: scores are made block by block and never held for all slots at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.addressing import Addressing, below, precise
from vmacore.seeds import uniform

SEGMENT = 64  # slots of a segment at most: what one sample of an address looks at again
BLOCK = 2**18  # scores of a block: 1 MiB in float32, which stays in a processor's second cache
ROWS = 2**15  # keys gathered at a time
# The mass of a block, for each query, that its exponentials may have without a shift: far from the ends of float32 on
# both sides, so that what underflows weighs less than e^-60 of it.
UNSHIFTED = (1e-7, 1e35)


@dataclass(frozen=True, eq=False)
class Segments:
    """Slots cut into segments of neighbours, of one class each and no longer than SEGMENT.

    starts: int64 [G + 1], segment g holds slots starts[g] … starts[g + 1] − 1.
    labels: integers [S], the class of every slot; None: unknown. Sorted labels make the fewest segments.
    """

    starts: Tensor
    labels: Tensor | None = None

    @staticmethod
    def of(slots: int, labels: Tensor | None = None, device: torch.device | str = "cpu") -> Segments:
        """The segments of so many slots."""
        slot = torch.arange(slots + 1, device=device)
        begin = torch.zeros_like(slot)  # of the slots of one class that a slot is among
        if labels is not None:
            begin[1:slots] = slot[1:slots] * (labels.diff() != 0)
        first = (slot - begin.cummax(0).values) % SEGMENT == 0
        first[slots] = True
        return Segments(first.nonzero()[:, 0], labels)

    def blocks(self, slots: int) -> list[tuple[slice, slice]]:
        """Blocks of whole segments, about so many slots in each: which segments, and which slots."""
        wanted = torch.arange(0, int(self.starts[-1]), slots, device=self.starts.device)
        cuts = torch.cat([torch.searchsorted(self.starts, wanted), self.starts.new_tensor([len(self.starts) - 1])])
        cuts = cuts.unique_consecutive()
        pairs = zip(pairwise(cuts.tolist()), pairwise(self.starts[cuts].tolist()), strict=True)
        return [(slice(*segments), slice(*rows)) for segments, rows in pairs]


class StreamedAddressing(Addressing):
    """What `Addressing` tells, of a memory whose scores [B, S] are too many to hold.

    One pass over the keys, in blocks of one matrix product each, leaves the mass of every segment [G, B]. The
    normaliser and the probabilities of classes are sums of those. An address is drawn by its segment, in proportion to
    mass, and then by its place within, for which the scores of the segments drawn are made again: however many samples,
    a second look at part of the memory. (A sample kept from each block as it passes would spare that look, but takes
    random numbers for every block and sample; here the same numbers give the same addresses as `Addressing` draws.) KL
    and entropy take another pass. Sums over segments are in float64. No gradient passes.

    keys [S, E] and queries [B, E]: as `slot_side` and `query_side` return them, so that scores are inner products.
    log_p: log p(a) [S]. segments: None is segments of no class.
    """

    keys: Tensor
    queries: Tensor
    segments: Segments

    def __init__(self, keys: Tensor, queries: Tensor, log_p: Tensor, segments: Segments | None = None) -> None:
        # Not the constructor of the base: it would set log_q, which is made only when asked for.
        vars(self).update(
            keys=keys.detach(),
            queries=queries.detach(),
            log_p=log_p.detach(),
            segments=segments or Segments.of(len(keys), device=keys.device),
        )

    @cached_property
    def log_q(self) -> Tensor:
        """log q(a|x) [B, S], all at once: B·S numbers."""
        return (self.queries @ self.keys.T - self.log_normaliser[:, None]).to(self.queries.dtype)

    @cached_property
    def log_normaliser(self) -> Tensor:
        """log Σ_a exp S(m_a, x) [B], float64, by one pass over the keys."""
        return self._masses[2]

    def score_at(self, address: Tensor) -> Tensor:
        """S(m_a, x) [B, K] at addresses [B, K]."""
        query = torch.arange(len(address), device=address.device).repeat_interleave(address.shape[1])
        parts = zip(address.flatten().split(ROWS), query.split(ROWS), strict=True)
        scores = [(self.keys[slot] * self.queries[target]).sum(1) for slot, target in parts]
        return torch.cat(scores).view(address.shape)

    def posterior_at(self, address: Tensor) -> Tensor:
        """log q(a|x) [B, K] at addresses [B, K]."""
        return (self.score_at(address) - self.log_normaliser[:, None]).to(self.queries.dtype)

    def class_log_mass(self, labels: Tensor, classes: int) -> Tensor:
        """log Σ_{a∈c} exp S(m_a, x) [B, classes] for the class of every slot [S]; −inf for a class without slots.

        Of the labels that `segments` were made for there is no pass of its own.
        """
        if self.segments.labels is not labels:
            segments = Segments.of(len(self.keys), labels, self.keys.device)
            return StreamedAddressing(self.keys, self.queries, self.log_p, segments).class_log_mass(labels, classes)
        mass, shift, _ = self._masses
        of_segments = labels[self.segments.starts[:-1]]
        if torch.equal(of_segments, torch.arange(classes, dtype=of_segments.dtype, device=of_segments.device)):
            total = mass  # every class is one segment
        else:
            total = torch.zeros(classes, mass.shape[1], dtype=precise(mass), device=mass.device)
            for part, label in zip(mass.split(ROWS), of_segments.split(ROWS), strict=True):
                total.index_add_(0, label, part.to(total.dtype))
        return total.to(mass.dtype).log().add_(shift).T

    def class_log_prob(self, labels: Tensor, classes: int) -> Tensor:
        """log Σ_{a∈c} q(a|x) [B, classes] for the class of every slot [S]; −inf for a class without slots."""
        mass = self.class_log_mass(labels, classes)
        return mass.sub_(self.log_normaliser[:, None])

    def expectations(self) -> tuple[Tensor, Tensor]:
        """E_q[log q(a|x)] and E_q[log p(a)], each [B], float64, by another pass over the keys."""
        return self._expectations

    def kl(self) -> Tensor:
        """KL(q(a|x) ‖ p(a)) [B], exact."""
        log_q, log_p = self._expectations
        return (log_q - log_p).to(self.queries.dtype)

    def posterior_entropy(self) -> Tensor:
        """Entropy of q(a|x) [B]."""
        return -self._expectations[0].to(self.queries.dtype)

    def draw(self, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """Addresses a ~ q(a|x), int64 [B, samples], exactly, by the same random numbers as `Addressing` uses."""
        like = self.queries.new_empty(0, dtype=precise(self.queries))
        return self.locate(uniform((len(self.queries), samples), generator, like))

    def locate(self, fraction: Tensor) -> Tensor:
        """Slots, int64 [B, K], where the cumulative distribution passes fractions [B, K] in [0, 1)."""
        cumulative = self._cumulative  # [B, G]
        point = below(cumulative[:, -1:], fraction)
        segment = torch.searchsorted(cumulative, point, right=True).clamp_(max=cumulative.shape[1] - 1)
        before = F.pad(cumulative, (1, 0)).gather(1, segment)
        rest = (point - before) / (cumulative.gather(1, segment) - before)
        return self._locate_within(segment.flatten(), rest.flatten()).view(segment.shape)

    def _locate_within(self, segment: Tensor, fraction: Tensor) -> Tensor:
        """Slots [P] where the distribution within segments [P] passes fractions [P]; samples in order of query."""
        slot, B, device = torch.empty_like(segment), len(self.queries), segment.device
        order = segment.argsort(stable=True)
        used, counts = segment[order].unique_consecutive(return_counts=True)
        place = torch.arange(SEGMENT, device=device)
        at_once = max(1, ROWS // SEGMENT // 8)
        ends = counts.cumsum(0)[at_once - 1 :: at_once].tolist()
        for segments, samples in zip(used.split(at_once), order.tensor_split(ends), strict=False):
            starts = self.segments.starts
            first, length = starts[segments], starts[segments + 1] - starts[segments]
            rows = (first[:, None] + place).clamp_(max=len(self.keys) - 1)  # [U, SEGMENT]
            scores = (self.keys[rows] @ self.queries.T).transpose(1, 2)  # [U, B, SEGMENT]
            scores = scores.masked_fill(place >= length[:, None, None], -torch.inf)
            for sample in samples.split(ROWS):
                u = torch.searchsorted(segments, segment[sample])
                of_query = sample // (len(segment) // B)
                weight = scores[u, of_query].to(fraction.dtype).softmax(1).cumsum_(1)  # [P', SEGMENT]
                point = below(weight[:, -1], fraction[sample])
                within = (weight <= point[:, None]).sum(1)
                slot[sample] = first[u] + torch.minimum(within, length[u] - 1)
        return slot

    @cached_property
    def _cumulative(self) -> Tensor:
        mass = self._masses[0]
        return mass.T.to(precise(mass)).cumsum(1)

    @cached_property
    def _blocks(self) -> list[tuple[slice, slice]]:
        # Of fewer rows than 2048 a matrix product loses speed.
        return self.segments.blocks(max(2048, BLOCK // len(self.queries)))

    @cached_property
    def _masses(self) -> tuple[Tensor, Tensor, Tensor]:
        """Σ_{a in segment} exp(S(m_a, x) − shift) [G, B], the shift [B], and the log of all mass, unshifted [B]."""
        starts, into = self.segments.starts, self.queries.T.contiguous()
        longest = max(rows.stop - rows.start for _, rows in self._blocks)
        scores, place = into.new_empty(longest, into.shape[1]), torch.arange(longest, device=into.device)
        mass = into.new_empty(len(starts) - 1, into.shape[1])
        shifts = into.new_zeros(len(self._blocks), into.shape[1])
        totals = torch.zeros_like(shifts, dtype=precise(shifts))

        def read(index: int, shifted: bool) -> None:
            segments, rows = self._blocks[index]
            block = torch.mm(self.keys[rows], into, out=scores[: rows.stop - rows.start])
            if shifted:
                shifts[index] = block.amax(0)
                block.sub_(shifts[index])
            # Sums over bags of neighbouring rows: the one sum over segments that torch does at the speed of memory.
            sums = F.embedding_bag(place[: len(block)], block.exp_(), starts[segments] - rows.start, mode="sum")
            mass[segments] = sums
            totals[index] = sums.sum(0)

        for index in range(len(self._blocks)):
            read(index, False)
        # The largest score of each block would tell beforehand, but looking for it takes as long as the exponentials.
        low, high = UNSHIFTED
        again = ~((totals > low) & (totals < high)).all(1)
        for index in again.nonzero()[:, 0].tolist():
            read(index, True)
        shift = shifts.amax(0)
        if len(self._blocks) > 1 and bool(again.any()):
            lengths = torch.tensor([segments.stop - segments.start for segments, _ in self._blocks], device=mass.device)
            mass *= (shifts - shift).exp_().repeat_interleave(lengths, 0)
        return mass, shift, (totals.log() + shifts).logsumexp(0)

    @cached_property
    def _expectations(self) -> tuple[Tensor, Tensor]:
        sums = torch.zeros(3, len(self.queries), dtype=precise(self.queries), device=self.queries.device)
        normaliser = self.log_normaliser[:, None].to(self.queries.dtype)
        for _, rows in self._blocks:
            log_q = (self.queries @ self.keys[rows].T).sub_(normaliser)  # [B, block]
            q = log_q.exp()
            sums[1] += q @ self.log_p[rows]
            sums[2] += q.sum(1)
            sums[0] += q.mul_(log_q).sum(1)
        # Another kernel rounds these scores otherwise than those of the first pass, so that q sums up to 1 only nearly.
        return sums[0] / sums[2] - sums[2].log(), sums[1] / sums[2]
