"""Where a decoder's finer latents come from: p(z_l|z_<l, m) to generate, q(z_l|z_<l, x, m) to score and to learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence


def gaussian(parameters: Tensor) -> Independent:
    """Diagonal Gaussian [P] over maps [h, w, c] from mean and log standard deviation [P, h, w, 2c]."""
    mean, log_scale = parameters.chunk(2, -1)
    return Independent(Normal(mean, log_scale.exp(), validate_args=False), 3, validate_args=False)


class FromPrior:
    """Every finer latent drawn from its prior."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def draw(self, stage: int, prior: Tensor, share: Tensor, correction: Callable[[Tensor], Tensor]) -> Tensor:
        """z_l [P, h, w, c] ~ p(z_l|z_<l, m), parameters `prior` [P, h, w, 2c]."""
        p = gaussian(prior).base_dist
        noise = torch.randn(p.loc.shape, generator=self.generator, dtype=prior.dtype, device=prior.device)
        z: Tensor = p.loc + p.scale * noise
        return z


class FromPosterior:
    """Every finer latent drawn from its posterior; what that adds to log w is summed up.

    evidence: the shares of x in the corrections at every stage, [U, h, w, …]. pair: each sample's row of it [P]; None:
    the samples themselves. noise: standard normal numbers of all finer latents [P, N]. pathwise: let gradients pass
    through z_l. warm: the share by which log p and log q of all latents but the finest count; below 1 the
    weights are those of no bound.
    terms [3 + stages, P]: log p(z_l|z_<l, m), log q(z_l|z_<l, x, m) and KL(q ‖ p) in closed form given z_<l, summed
    over levels, and the last again for each stage.
    """

    def __init__(
        self,
        evidence: Sequence[Tensor],
        pair: Tensor | None,
        noise: Tensor,
        pathwise: bool,
        warm: float = 1.0,
    ) -> None:
        self.evidence, self.pair, self.pathwise, self.warm = evidence, pair, pathwise, warm
        self.noise = noise
        self.finest = next((stage for stage, seen in enumerate(evidence) if seen[0].numel()), 0)
        self.used = 0
        self.terms: Tensor = noise.new_zeros(3 + len(evidence), len(noise))

    def draw(self, stage: int, prior: Tensor, share: Tensor, correction: Callable[[Tensor], Tensor]) -> Tensor:
        """z_l [P, h, w, c] ~ q(z_l|z_<l, x, m): parameters [P, h, w, 2c] are the prior's, corrected by both shares."""
        evidence = self.evidence[stage]
        evidence = evidence if self.pair is None else evidence.index_select(0, self.pair)
        q, p = gaussian(prior + correction(share + evidence)), gaussian(prior)
        size = q.event_shape.numel()
        noise = self.noise[:, self.used : self.used + size].view(q.base_dist.loc.shape)
        self.used += size
        z: Tensor = q.base_dist.loc + q.base_dist.scale * noise
        z = z if self.pathwise else z.detach()
        weight = 1.0 if stage == self.finest else self.warm
        kl = kl_divergence(q, p)
        by_stage = [kl if other == stage else torch.zeros_like(kl) for other in range(len(self.evidence))]
        self.terms = self.terms + torch.stack([weight * p.log_prob(z), weight * q.log_prob(z), kl, *by_stage])
        return z
