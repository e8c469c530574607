"""Bounds and their gradients as pure functions of log weights.

What is reported and what is differentiated are two things: `bound` is a lower bound on log p(x|M) in nats, `surrogate`
is a function whose gradient estimates a gradient and whose value means nothing. All take log w [B, K] with log q(a|x)
*detached* inside, and log q(a|x) with its gradient beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Objective:
    """bound [B]: nats, to report. surrogate [B]: to be maximised by its gradient."""

    bound: Tensor
    surrogate: Tensor


def importance_bound(log_w: Tensor) -> Tensor:
    """The K-sample bound log (1/K) Σ_k w_k [B], in nats, for log w [B, K] (equation 7)."""
    return log_w.logsumexp(1) - math.log(log_w.shape[1])


def leave_one_out(log_w: Tensor) -> Tensor:
    """log (1/(K−1)) Σ_{j≠k} w_j [B, K], by a masked logsumexp: a subtraction from the whole sum would cancel."""
    others, itself = _others(log_w)
    return others.masked_fill(itself, -math.inf).logsumexp(2) - math.log(log_w.shape[1] - 1)


def leave_one_out_geometric(log_w: Tensor) -> Tensor:
    """log (1/K) (ŵ_k + Σ_{j≠k} w_j) [B, K], where ŵ_k is the geometric mean of the others."""
    others, itself = _others(log_w)
    return torch.where(itself, mean_of_others(log_w)[:, :, None], others).logsumexp(2) - math.log(log_w.shape[1])


def mean_of_others(values: Tensor) -> Tensor:
    """(1/(K−1)) Σ_{j≠k} values_j [B, K]."""
    others, itself = _others(values)
    return others.masked_fill(itself, 0.0).sum(2) / (values.shape[1] - 1)


def vimco(log_w: Tensor, log_qa: Tensor, geometric: bool = False) -> Objective:
    """The K-sample bound with the VIMCO gradient (equations 7 to 10; Mnih & Rezende 2016).

    log_w: log w_k = log p(x, a, z) − log q(a|x) − log q(z|x, m_a) [B, K], nats, with log q(a|x) *detached* inside.
    log_qa: log q(a|x) of the addresses drawn [B, K], nats, carrying its gradient.
    geometric: the baseline puts the geometric mean of the other weights in a weight's place; else their mean stands
    alone.

    The bound's own gradient gives Σ ω̄_k ∇[log p − log q(z|x, m)], the reparameterised path through z included. Because
    log q(a|x) is detached inside log w, the term −ω̄_k of equation 9 is written out in the signal; with either of the
    two left out the gradient is biased.

    Raises:
        ValueError: K < 2, for which there is no leave-one-out mean, or shapes that differ.
    """
    _check(log_w, log_qa)
    if log_w.shape[1] < 2:
        raise ValueError("VIMCO needs at least 2 samples: its baseline leaves one out")
    bound = importance_bound(log_w)
    with torch.no_grad():
        baseline = leave_one_out_geometric(log_w) if geometric else leave_one_out(log_w)
        signal = bound[:, None] - baseline - log_w.softmax(1)
    return Objective(bound=bound, surrogate=bound + (signal * log_qa).sum(1))


def reinforce(log_w: Tensor, log_qa: Tensor, baseline: Tensor) -> Objective:
    """The ELBO E_q log w with the score-function gradient (Williams 1992), averaged over the K samples.

    baseline: [B, K] or [B, 1], nats, subtracted from log w_k; the gradient is unbiased if it does not depend on a_k.
    The bound reported is that of K samples, which says more than the ELBO.

    Raises:
        ValueError: shapes that differ.
    """
    _check(log_w, log_qa)
    signal = (log_w - baseline).detach()
    return Objective(bound=importance_bound(log_w), surrogate=(log_w + signal * log_qa).mean(1))


def rloo(log_w: Tensor, log_qa: Tensor) -> Objective:
    """The ELBO; the baseline of a sample is the mean of the others' log w (Kool et al. 2019).

    Raises:
        ValueError: K < 2, or shapes that differ.
    """
    if log_w.shape[1] < 2:
        raise ValueError("the leave-one-out baseline needs at least 2 samples")
    return reinforce(log_w, log_qa, mean_of_others(log_w.detach()))


def neighbours(log_w: Tensor, log_q: Tensor) -> Tensor:
    """A baseline [B, 1] for each target from the log w [B, K] of the *other* targets, weighted by likeness.

    The likeness of two targets is Σ_a q(a|x) q(a|x'), the probability that they would draw one slot: targets that
    address the same slots have similar likelihoods. log_q: [B, S]. A single target has 0.
    """
    with torch.no_grad():
        q = log_q.exp()
        tiny = torch.finfo(q.dtype).tiny  # where none is alike, all others count the same
        likeness = (q @ q.T).clamp_min(tiny).fill_diagonal_(0.0)
        weights = likeness / likeness.sum(1, keepdim=True).clamp_min(tiny)
        return weights @ log_w.mean(1, keepdim=True)


def wake(log_p: Tensor, log_q: Tensor) -> Objective:
    """Both wake phases: Σ_k ω̄_k ∇log p(x, a, z) and Σ_k ω̄_k ∇log q(a, z|x) (Bornschein & Bengio 2015).

    log_p, log_q: log p(x, a, z) and log q(a, z|x) [B, K], nats, each with its gradient, at constant (a, z). The first
    is the gradient of the K-sample bound in the parameters of p; the second is that of −KL(p(a, z|x) ‖ q(a, z|x)),
    biased by O(1/K) since ω̄ normalises itself.

    Raises:
        ValueError: shapes that differ.
    """
    _check(log_p, log_q)
    log_w = (log_p - log_q).detach()
    return Objective(bound=importance_bound(log_w), surrogate=(log_w.softmax(1) * (log_p + log_q)).sum(1))


def wake_address(log_w: Tensor, log_qa: Tensor) -> Objective:
    """The K-sample bound in everything but q(a|x), which follows its wake phase Σ_k ω̄_k ∇log q(a|x).

    Raises:
        ValueError: shapes that differ.
    """
    _check(log_w, log_qa)
    bound = importance_bound(log_w)
    return Objective(bound=bound, surrogate=bound + (log_w.softmax(1).detach() * log_qa).sum(1))


def stratified(log_w: Tensor, log_qa: Tensor, share: Tensor, enumerated: int) -> Objective:
    """The ELBO Σ_a q(a|x) log w_a from addresses enumerated and addresses that stand for a share of the others.

    log_w, log_qa: [B, K]. share: [B, K], rows that sum to 1: q(a|x) itself for the first `enumerated` addresses, for
    the others the probability of all that each stands for. The enumerated ones need no score function; what the sampled
    ones need is centred by the mean of the enumerated (Liu et al. 2019), which needs no correction since Σ_a ∇q(a|x) =
    0.

    Raises:
        ValueError: shapes that differ, or nothing enumerated.
    """
    _check(log_w, log_qa)
    if enumerated < 1:
        raise ValueError("at least one address must be enumerated")
    share = share.detach()
    bound = (share * log_w).sum(1)
    with torch.no_grad():
        known = share[:, :enumerated] / share[:, :enumerated].sum(1, keepdim=True)
        centre = (known * log_w[:, :enumerated]).sum(1, keepdim=True)
        signal = share * (log_w - centre)  # ∇q = q ∇log q, whether enumerated or drawn
    return Objective(bound=bound, surrogate=bound + (signal * log_qa).sum(1))


def _others(values: Tensor) -> tuple[Tensor, Tensor]:
    """values [B, K] as seen from each of its own columns [B, K, K], and where a column sees itself [K, K]."""
    K = values.shape[1]
    return values[:, None, :].expand(-1, K, -1), torch.eye(K, dtype=torch.bool, device=values.device)


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.dim() != 2:
        raise ValueError(f"{list(first.shape)} and {list(second.shape)} must both be [B, K]")
