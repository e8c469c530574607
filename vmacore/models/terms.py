"""What every model ends in: the terms of the log weight for each sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent

from vmacore.latents import Latents, Posterior
from vmacore.networks.layers import rows
from vmacore.seeds import standard_normal


@dataclass(frozen=True, eq=False)
class LogTerms:
    """Terms for K samples (a, z) of each of B targets, each [B, K], in nats.

    log_px: log p(x|z, m_a).
    log_pz: log p(z|m_a).
    log_qz: log q(z|x, m_a).
    kl: KL(q(z_l|z_<l, x, m_a) ‖ p(z_l|z_<l, m_a)) of each latent, coarse to fine, in closed form [L, B, K].
    """

    log_px: Tensor
    log_pz: Tensor
    log_qz: Tensor
    kl: Tensor

    @staticmethod
    def of(terms: Tensor, samples: int) -> LogTerms:
        """Of rows [3 + L, B · K]: log p(x|z, m), log p(z|m), log q(z|x, m), then the KL of each latent."""
        log_px, log_pz, log_qz, *kl = terms.view(len(terms), -1, samples)
        return LogTerms(log_px, log_pz, log_qz, torch.stack(kl))

    @property
    def kl_z(self) -> Tensor:
        """The KL of all latents [B, K]."""
        return self.kl.sum(0)

    @property
    def log_weight(self) -> Tensor:
        """log p(x, z|a) − log q(z|x, a) [B, K]: log w without its address terms."""
        return self.log_px + self.log_pz - self.log_qz


def pixels_log_prob(logits: Tensor, pixels: Tensor) -> Tensor:
    """log p(x) [N], nats, of binary pixels [N, D] under independent Bernoulli with logits [N, D]."""
    bernoulli = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)
    return bernoulli.log_prob(pixels)


def latent_log_terms(
    posterior: Tensor,
    targets: Tensor,
    samples: int,
    decode: Callable[[Latents, Tensor], Tensor],
    generator: torch.Generator | None = None,
    chunk: int | None = None,
) -> LogTerms:
    """Terms of log w [B, K] of a model without an address, for z ~ q(z|x).

    posterior: parameters [B, 2Z] of q(z|x). targets [B, 1, H, W]. decode: draws z for targets [P] and returns the
    logits [P, D]. chunk: samples decoded at a time, with the same noise whatever the chunk.
    """
    B, K, x = len(targets), samples, targets.flatten(1)
    noise = standard_normal((B * K, posterior.shape[1] // 2), generator, x)
    target = torch.arange(B, device=x.device).repeat_interleave(K)
    parts = []
    for part in torch.arange(B * K, device=x.device).split(chunk or B * K):
        latents = Posterior([rows(posterior, target[part])], noise[part])
        log_px = pixels_log_prob(decode(latents, target[part]), rows(x, target[part]))
        parts.append(torch.stack([log_px, latents.log_p, latents.log_q, *latents.kl]))
    return LogTerms.of(torch.cat(parts, 1), K)
