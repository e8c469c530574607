"""What a prior draws, and what a posterior draws and adds up, over latents coarse to fine."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from vmacore.latents import Posterior, Prior, gaussian


def test_densities_are_of_all_latents_together() -> None:
    q, p, noise = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)).double().unbind()
    latents = Posterior(q.split(4, 1), noise[:, :4])
    z = torch.cat([latents.draw(prior) for prior in p.split(4, 1)], 1)

    def log_prob(parameters: torch.Tensor) -> torch.Tensor:
        mean, log_scale = parameters.view(5, 2, 2, 2).unbind(2)  # [5, level, of a level]
        return Normal(mean.flatten(1), log_scale.flatten(1).exp()).log_prob(z).sum(1)

    torch.testing.assert_close(latents.log_p, log_prob(p))
    torch.testing.assert_close(latents.log_q, log_prob(q))


def test_a_prior_draws_by_its_own_generator() -> None:
    """z = μ + σ ε [3, 2, 2], the same ε wherever torch's own generator stands, in the precision of the parameters."""
    prior = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, log_scale = prior.chunk(2, -1)
    noise = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = Prior(torch.Generator().manual_seed(1)).draw(prior)
    assert z.dtype == torch.float64
    torch.testing.assert_close(z, mean + log_scale.exp() * noise)


@pytest.mark.parametrize("pathwise", [None, True, False], ids=["by default", "asked for", "not"])
def test_a_gradient_passes_through_z(pathwise: bool | None) -> None:
    """With it z is μ + σ ε of the parameters; without, a number."""
    parameters = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    choice = {} if pathwise is None else {"pathwise": pathwise}
    z = Posterior([parameters], torch.ones(5, 2).double(), **choice).draw(torch.zeros(5, 4).double())
    assert z.requires_grad is (pathwise is not False)
    torch.testing.assert_close(z.detach(), (parameters[:, :2] + parameters[:, 2:].exp()).detach())


def test_numbers_that_are_not_finite_pass() -> None:
    """Training asks at its end whether the loss is finite, and says what to do: a density does not stop it."""
    assert gaussian(torch.full((1, 2), math.nan)).log_prob(torch.zeros(1, 1)).isnan().all()
    assert gaussian(torch.zeros(1, 2)).log_prob(torch.full((1, 1), math.nan)).isnan().all()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_the_temperature_multiplies_standard_deviations(temperature: float) -> None:
    prior = torch.cat([torch.full((4, 3), 2.0), torch.full((4, 3), math.log(3.0))], 1).double()
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = Prior(torch.Generator().manual_seed(1), temperature).draw(prior)
    torch.testing.assert_close(z, 2 + temperature * 3 * noise)
