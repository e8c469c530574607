"""What a memory tells of itself: each picture asked of the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.addressing import Addressing, query_side
from vmacore.memory.large import LargeMemory

ASKED = 2048  # pictures asked of the others at most
SCORES = 2**24  # scores held at a time
BLOCK = 2**16  # keys made as long as one at a time: a memory may be larger than what a machine holds
TEMPERATURES = tuple(2 ** (step / 8) for step in range(33))  # 1 … 16
PRIOR_PICTURES = 5  # how many pictures of a class the mean of all classes counts for


@dataclass(frozen=True, eq=False)
class Calibration:
    """What leave-one-out tells: of each picture what is told of one that is asked later, by all slots but its own.

    One that is asked later finds the whole of its class, of k pictures, a picture left out k − 1. What the last of them
    brings is estimated from what the one before brought (`_brought`).

    cosines: float32 [S], the largest of a picture and another slot, of any class; NaN: its class has no other picture,
        or it was not asked. Where that slot is of its class, with what the picture left out would bring.
    nearest: int32 [S], that slot, of the pictures that were asked.
    centres: float32 [S], the largest cosine of a picture and the mean key of a class (`class_means`), its own class's
        with what the picture left out would bring; NaN as above.
    temperature: divides log q(c|x), so that it is as certain as it was right; 1 is the model.
    """

    cosines: Tensor
    nearest: Tensor
    centres: Tensor
    temperature: float

    @property
    def asked(self) -> Tensor:
        """bool [S]: the pictures that were asked."""
        return ~self.cosines.isnan()

    def usual(self, labels: Tensor, classes: int) -> Tensor:
        """The usual cosine of each class [C]: its mean, drawn towards that of all where pictures are few; 0 if none was
        asked."""
        if not bool(self.asked.any()):
            return self.cosines.new_zeros(classes)
        total, count, mean = self._sums(labels, classes)
        return (total + PRIOR_PICTURES * mean) / (count + PRIOR_PICTURES)

    def threshold(self, labels: Tensor, classes: int, reject: float) -> float:
        """How well known (`known`) a picture has to be, so that so many of the known are refused; a picture is no part
        of what is usual for itself.

        −inf, which refuses none, where `reject` is 0 or no picture was asked.
        """
        asked = self.asked
        if reject == 0 or not bool(asked.any()):
            return -math.inf
        total, count, mean = self._sums(labels, classes)
        cosines, own = self.cosines[asked], labels[asked].long()
        near = labels[self.nearest[asked].long()].long()
        itself = (near == own).float()
        usual = (total[near] - itself * cosines + PRIOR_PICTURES * mean) / (count[near] - itself + PRIOR_PICTURES)
        scores = known(cosines, usual, self.centres[asked]).cpu().double().numpy()
        # With few pictures the linear quantile refuses too many: 8.5 % for 5 % of 25 (Hyndman & Fan 1996).
        return float(np.quantile(scores, reject, method="median_unbiased"))

    def _sums(self, labels: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """The sum of cosines of each class [C], of how many, and the mean of all."""
        cosines, own = self.cosines[self.asked], labels[self.asked].long()
        return cosines.new_zeros(classes).index_add(0, own, cosines), own.bincount(minlength=classes), cosines.mean()


def known(cosines: Tensor, usual: Tensor, centres: Tensor) -> Tensor:
    """How well known pictures are [B], of their largest cosines with a slot, with what is usual for that slot's class,
    and with the mean key of a class.

    Where one slot is like a picture by chance, the class is not; and a class whose pictures differ has no slot that is
    very like.
    """
    return cosines - usual + centres


def class_means(keys: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The mean key of each class [C, E], as long as one, of keys [S, E] made as long as one."""
    return F.normalize(_class_sums(keys, labels, classes), dim=1)


def _class_sums(keys: Tensor, labels: Tensor, classes: int) -> Tensor:
    sums = keys.new_zeros(classes, keys.shape[1])
    for part, own in zip(keys.split(BLOCK), labels.split(BLOCK), strict=True):
        sums.index_add_(0, own.long(), F.normalize(part, dim=1))
    return sums


@torch.no_grad()
def calibrate(memory: LargeMemory, queries: Callable[[Tensor], Tensor], similarity: str) -> Calibration:
    """Ask up to ASKED pictures, evenly spread over the slots of classes with two and more, of all others.

    queries: e_x [T, E] of the drawings in slots at index [T]. similarity: the one that the keys were made for. The
    temperature is the one of TEMPERATURES under which the right classes are likeliest. None is below 1: where all of a
    few are right, the likeliest would be certainty.
    """
    assert memory.labels is not None
    labels, counts = memory.labels.long(), memory.labels.bincount(minlength=memory.classes)
    cosines = torch.full((len(memory),), math.nan, device=memory.keys.device)
    centres = cosines.clone()
    nearest = torch.zeros(len(memory), dtype=torch.int32, device=memory.keys.device)
    several = (counts[labels] > 1).nonzero()[:, 0]
    if not len(several):
        return Calibration(cosines, nearest, centres, 1.0)
    asked = several[torch.linspace(0, len(several) - 1, min(ASKED, len(several)), device=labels.device).long()]
    leave_out = _LeaveOneOut(memory, labels, counts)
    answers = []
    for part in asked.split(max(1, SCORES // len(memory))):
        asking = queries(part)
        cosines[part], near = leave_out.cosines(part, asking)
        nearest[part], centres[part] = near.int(), leave_out.centres(part, asking)
        answers.append(leave_out.class_scores(part, query_side(asking, similarity)))
    scores, right = torch.cat(answers), labels[asked]
    losses = [float(F.cross_entropy(scores / temperature, right)) for temperature in TEMPERATURES]
    return Calibration(cosines, nearest, centres, TEMPERATURES[losses.index(min(losses))])


def _brought(last: Tensor, k: Tensor) -> Tensor:
    """What the k-th picture of a class brings, where the one before brought `last`: falling as 1/k(k − 1), so that the
    limit is approached as 1/k (the jackknife of Quenouille 1949); 0 where there was none before."""
    return torch.where(k > 2, last * (k - 2) / k, 0.0)


@dataclass(frozen=True, eq=False)
class _LeaveOneOut:
    memory: LargeMemory
    labels: Tensor
    counts: Tensor

    @cached_property
    def unit_keys(self) -> Tensor:
        return F.normalize(self.memory.keys, dim=1)

    def cosines(self, slot: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """`Calibration.cosines` [T] of queries [T, E], the embeddings of slots [T], and the nearest other slots [T]."""
        every = F.normalize(queries, dim=1) @ self.unit_keys.T
        every[torch.arange(len(slot)), slot] = -math.inf
        best, near = every.topk(2)
        own, k = self.labels[slot], self.counts[self.labels[slot]]
        # One of the k − 1 others is the nearest; without it the second is.
        brought = _brought((best[:, 0] - best[:, 1]) / (k - 1), k)
        return best[:, 0] + brought * (self.labels[near[:, 0]] == own), near[:, 0]

    @cached_property
    def sums(self) -> Tensor:
        return _class_sums(self.memory.keys, self.labels, len(self.counts))

    def centres(self, slot: Tensor, queries: Tensor) -> Tensor:
        """`Calibration.centres` [T] of queries [T, E], the embeddings of slots [T]."""
        asking, own = F.normalize(queries, dim=1), self.labels[slot]
        every = asking @ F.normalize(self.sums, dim=1).T
        others = self.sums[own] - self.unit_keys[slot]
        k = self.counts[own]
        dot, length, left = (asking * others).sum(1), others.norm(dim=1), 1 - 1 / (k - 1)
        # The mean of the others without one of them too: of its sum, on average, the product and the squared length.
        fewer = dot * left / (length**2 * (2 * left - 1) + 1).clamp(min=1e-6).sqrt()
        every[torch.arange(len(slot)), own] = dot / length + _brought(dot / length - fewer, k)
        return every.amax(1)

    def class_scores(self, slot: Tensor, queries: Tensor) -> Tensor:
        """log mean_{a∈c} exp S(m_a, x) [T, C] over the other slots."""
        scores = queries @ self.memory.keys.T
        scores[torch.arange(len(slot)), slot] = -math.inf
        others = self.counts.expand(len(slot), -1).clone()
        others[torch.arange(len(slot)), self.labels[slot]] -= 1
        return Addressing(scores, self.memory.log_prior).class_log_prob(self.labels, len(self.counts)) - others.log()
