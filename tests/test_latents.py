"""What a posterior adds up, over latents coarse to fine."""

from __future__ import annotations

import torch
from torch.distributions import Normal

from vmacore.latents import Posterior


def test_all_latents_count_in_full_by_default() -> None:
    q, p, noise = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)).double().unbind()
    latents = Posterior(q.split(4, 1), noise[:, :4])
    z = torch.cat([latents.draw(prior) for prior in p.split(4, 1)], 1)

    def log_prob(parameters: torch.Tensor) -> torch.Tensor:
        mean, log_scale = parameters.view(5, 2, 2, 2).unbind(2)  # [5, level, of a level]
        return Normal(mean.flatten(1), log_scale.flatten(1).exp()).log_prob(z).sum(1)

    torch.testing.assert_close(latents.log_p, log_prob(p))
    torch.testing.assert_close(latents.log_q, log_prob(q))
