"""Latents: drawn from p to generate, or from q to score and to learn, with what that adds to log w.

A decoder draws its latents in order, coarse to fine; the paper's has one, z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from vmacore.seeds import standard_normal


def gaussian(parameters: Tensor) -> Independent:
    """Diagonal Gaussian over all dimensions but the first; the last holds means, then log standard deviations."""
    mean, log_scale = parameters.chunk(2, -1)
    # Not checked: a check would wait for the GPU, and training says what to do where a number is not finite.
    return Independent(Normal(mean, log_scale.exp(), validate_args=False), mean.dim() - 1)


def as_seen(evidence: Tensor) -> Tensor:
    """The posterior of a latent whose evidence is the parameters of q themselves."""
    return evidence


class Latents(Protocol):
    """Where the latents of P samples come from."""

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        """The next latent z_l [P, …, c] given those before it.

        prior: parameters of p(z_l|z_<l, m) [P, …, 2c]. posterior: makes those of q(z_l|z_<l, x, m) of what x shows.
        """


class Prior:
    """Every latent drawn from p, with standard deviations times the temperature: below 1, samples are more alike."""

    def __init__(self, generator: torch.Generator | None = None, temperature: float = 1.0) -> None:
        self.generator, self.temperature = generator, temperature

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        """z_l ~ p(z_l|z_<l, m), at temperature 1."""
        p = gaussian(prior)
        noise = self.temperature * standard_normal(p.mean.shape, self.generator, prior)
        return p.base_dist.loc + p.base_dist.scale * noise


class Posterior:
    """Every latent drawn from q. Adds up log p, log q [P], and keeps KL(q ‖ p) of each latent, in closed form.

    evidence: what x shows of each latent, coarse to fine, [P, …]. noise: standard normal, for all latents [P, N].
    pathwise: let gradients pass through z.
    """

    def __init__(self, evidence: Sequence[Tensor], noise: Tensor, *, pathwise: bool = True) -> None:
        self.evidence, self.pathwise, self.left = evidence, pathwise, noise
        self.log_p = self.log_q = noise.new_zeros(len(noise))
        self.kl: list[Tensor] = []

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        """z_l ~ q(z_l|z_<l, x, m)."""
        level = len(self.kl)
        q, p = gaussian(posterior(self.evidence[level])), gaussian(prior)
        size = q.event_shape.numel()
        noise, self.left = self.left[:, :size].view(q.mean.shape), self.left[:, size:]
        z = q.base_dist.loc + q.base_dist.scale * noise  # `q.stddev` is the root of a square: another rounding
        z = z if self.pathwise else z.detach()
        self.log_p = self.log_p + p.log_prob(z)
        self.log_q = self.log_q + q.log_prob(z)
        self.kl.append(kl_divergence(q, p))
        return z
