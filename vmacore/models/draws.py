"""What every model ends in: the terms of the log weight for each sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vmacore.nn.layers import rows
from vmacore.seeds import standard_normal


@dataclass(frozen=True, eq=False)
class Draws:
    """Terms for K samples (a, z) of each of B targets, each [B, K], in nats.

    log_px: log p(x|z, m_a).
    log_pz: log p(z|m_a).
    log_qz: log q(z|x, m_a).
    kl_z: KL(q(z|x, m_a) ‖ p(z|m_a)), in closed form.
    kl_levels: the share in it of the latent at each stage of a decoder, finest first [stages, B, K]; None: no such.
    """

    log_px: Tensor
    log_pz: Tensor
    log_qz: Tensor
    kl_z: Tensor
    kl_levels: Tensor | None = None

    @property
    def log_weight(self) -> Tensor:
        """log p(x, z|a) − log q(z|x, a) [B, K]: log w without its address terms."""
        return self.log_px + self.log_pz - self.log_qz


def normal(parameters: Tensor) -> Independent:
    """Diagonal Gaussian [N] over R^Z from mean and log standard deviation [N, 2Z]."""
    mean, log_scale = parameters.chunk(2, dim=-1)
    return Independent(Normal(mean, log_scale.exp(), validate_args=False), 1, validate_args=False)


def pixels_log_prob(logits: Tensor, pixels: Tensor) -> Tensor:
    """log p(x) [N], nats, of binary pixels [N, D] under independent Bernoulli with logits [N, D]."""
    bernoulli = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)
    log_prob: Tensor = bernoulli.log_prob(pixels)
    return log_prob


def latent_draws(
    posterior: Tensor,
    targets: Tensor,
    samples: int,
    decode: Callable[[Tensor, Tensor], Tensor],
    generator: torch.Generator | None = None,
    chunk: int | None = None,
    prior: Tensor | None = None,
) -> Draws:
    """Terms of log w [B, K] of a model without an address, for z ~ q(z|x).

    posterior: parameters [B, 2Z] of q(z|x). targets [B, 1, H, W]. decode: z [P, Z] of targets [P] → logits [P, D].
    chunk: samples decoded at a time, with the same noise whatever the chunk. prior: parameters of p(z) for each target
    [B, 2Z] or for all [1, 2Z]; None: N(0, I).
    """
    B, K, Z = len(targets), samples, posterior.shape[1] // 2
    x = targets.flatten(1)
    noise = standard_normal((B * K, Z), generator, x)
    target = torch.arange(B, device=x.device).repeat_interleave(K)
    prior = (x.new_zeros(1, 2 * Z) if prior is None else prior).expand(B, -1)
    parts = []
    for part in torch.arange(B * K, device=x.device).split(chunk or B * K):
        q, p = normal(rows(posterior, target[part])), normal(rows(prior, target[part]))
        z = q.base_dist.loc + q.base_dist.scale * noise[part]  # [P, Z]
        log_px = pixels_log_prob(decode(z, target[part]), rows(x, target[part]))
        parts.append(torch.stack([log_px, p.log_prob(z), q.log_prob(z)]))
    kl_z = kl_divergence(normal(posterior), normal(prior))
    log_px, log_pz, log_qz = torch.cat(parts, 1).view(3, B, K)
    return Draws(log_px, log_pz, log_qz, kl_z[:, None].expand(B, K))
