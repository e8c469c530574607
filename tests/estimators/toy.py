"""A model of a few numbers, whose every address can be enumerated: one z for each (target, slot), its noise fixed."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.estimators import Addresses, Estimator
from vmacore.models.terms import LogTerms

B, S, K = 2, 4, 3
Leaves = dict[str, Tensor]


def leaves(seed: int = 0) -> Leaves:
    """Logits of q(a|x) and p(a), and the terms of the log weight at every slot; so far apart that bounds are loose."""
    draw = torch.Generator().manual_seed(seed)
    scales = {"q": 1.0, "p": 0.5, "log_px": 2.0, "log_pz": 0.7, "log_qz": 0.7}
    return {
        name: (
            scale * torch.randn(*((S,) if name == "p" else (B, S)), dtype=torch.float64, generator=draw)
        ).requires_grad_()
        for name, scale in scales.items()
    }


def addressing(of: Leaves) -> Addressing:
    """q(a|x) and p(a)."""
    return Addressing(of["q"].log_softmax(1), of["p"].log_softmax(0))


def log_weights(of: Leaves) -> Tensor:
    """log w of every slot [B, S], log q(a|x) not detached."""
    both = addressing(of)
    return of["log_px"] + of["log_pz"] - of["log_qz"] + both.log_p - both.log_q


def at(of: Leaves, address: Tensor) -> LogTerms:
    """The terms at addresses [N, K], rows of which belong to targets 0 … B − 1, 0 … B − 1, …"""
    target = torch.arange(len(address)) % B
    log_px, log_pz, log_qz = (of[name][target].gather(1, address) for name in ("log_px", "log_pz", "log_qz"))
    return LogTerms(log_px, log_pz, log_qz, torch.zeros_like(log_px))


def tuples(samples: int = K) -> Tensor:
    """All tuples of addresses [S^K, K]."""
    return torch.tensor(list(itertools.product(range(S), repeat=samples)))


def expected_gradient(estimator: Estimator, of: Leaves, drawn: Addresses, probability: Tensor) -> Leaves:
    """Σ_n probability_n · (gradient of the surrogate of draw n), summed over targets.

    drawn: N·B rows, target within draw. probability: of each row given its target [N·B], a constant.
    """
    both = addressing(of)
    rows = len(drawn.address) // B
    repeated = Addressing(both.log_q.repeat(rows, 1), both.log_p)
    surrogate = estimator.objective(at(of, drawn.address), repeated, drawn).surrogate
    return gradient((probability.detach() * surrogate).sum(), of)


def over_all_tuples(estimator: Estimator, of: Leaves, samples: int = K) -> Leaves:
    """The expected gradient of an estimator that draws K addresses of q(a|x), one target apart from another."""
    address = tuples(samples).repeat_interleave(B, 0)
    log_qa = addressing(of).log_q.repeat(len(address) // B, 1).gather(1, address)
    return expected_gradient(estimator, of, Addresses(address), log_qa.sum(1).exp())


def bound(of: Leaves, samples: int = K) -> Tensor:
    """The exact expectation of the K-sample bound over all tuples, summed over targets."""
    log_q, log_w = addressing(of).log_q, log_weights(of)
    chosen = tuples(samples)
    probability = log_q[:, chosen].sum(2).exp()  # [B, S^K]
    return (probability * log_w[:, chosen].exp().mean(2).log()).sum()


def elbo(of: Leaves) -> Tensor:
    """Σ_a q(a|x) log w_a, summed over targets."""
    return (addressing(of).log_q.exp() * log_weights(of)).sum()


def gradient(value: Tensor, of: Leaves) -> Leaves:
    """∂value/∂leaf; zeros where a leaf is not used."""
    found = torch.autograd.grad(value, list(of.values()), retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if one is None else one
        for (name, leaf), one in zip(of.items(), found, strict=True)
    }


def distance(one: Leaves, other: Leaves, *names: str) -> float:
    """The largest difference between two gradients, of the leaves named or of all."""
    return max(float((one[name] - other[name]).abs().max()) for name in names or one)
