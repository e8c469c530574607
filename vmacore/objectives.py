"""Bounds and their gradients as pure functions of log weights.

What is reported and what is differentiated are two things: `bound` is the K-sample bound in nats, `surrogate` is a
function whose gradient estimates the gradient of the expected bound and whose value means nothing.
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
    K = log_w.shape[1]
    others = log_w[:, None, :].expand(-1, K, -1)
    itself = torch.eye(K, dtype=torch.bool, device=log_w.device)
    return others.masked_fill(itself, -math.inf).logsumexp(2) - math.log(K - 1)


def vimco(log_w: Tensor, log_qa: Tensor) -> Objective:
    """The K-sample bound with the VIMCO gradient (equations 7 to 10; Mnih & Rezende 2016).

    log_w: log w_k = log p(x, a, z) − log q(a|x) − log q(z|x, m_a) [B, K], nats, with log q(a|x) *detached* inside.
    log_qa: log q(a|x) of the addresses drawn [B, K], nats, carrying its gradient.

    The bound's own gradient gives Σ ω̄_k ∇[log p − log q(z|x, m)], the reparameterised path through z included. Because
    log q(a|x) is detached inside log w, the term −ω̄_k of equation 9 is written out in the signal; with either of the
    two left out the gradient is biased.

    Raises:
        ValueError: K < 2, for which there is no leave-one-out mean, or shapes that differ.
    """
    if log_w.shape != log_qa.shape or log_w.dim() != 2:
        raise ValueError(f"log_w {list(log_w.shape)} and log_qa {list(log_qa.shape)} must both be [B, K]")
    if log_w.shape[1] < 2:
        raise ValueError("VIMCO needs at least 2 samples: its baseline leaves one out")
    bound = importance_bound(log_w)
    with torch.no_grad():
        signal = bound[:, None] - leave_one_out(log_w) - log_w.softmax(1)
    return Objective(bound=bound, surrogate=bound + (signal * log_qa).sum(1))
