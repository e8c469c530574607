"""The terms of `LogTerms` and the densities they are made of, against closed forms and torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

from tests import synthetic
from vmacore.latents import gaussian
from vmacore.models.terms import LogTerms, pixels_log_prob
from vmacore.models.vma import VariationalMemoryAddressing


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_log_weight() -> None:
    log_px, log_pz, log_qz, kl_z = (_random(2, 3, seed=seed) for seed in range(4))
    torch.testing.assert_close(LogTerms(log_px, log_pz, log_qz, kl_z).log_weight, log_px + log_pz - log_qz)


def test_diagonal_gaussian() -> None:
    parameters, z = _random(5, 6), _random(5, 3, seed=1)
    mean, log_scale = parameters[:, :3], parameters[:, 3:]
    plain = -0.5 * ((z - mean) / log_scale.exp()) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)
    found = gaussian(parameters).log_prob(z)
    torch.testing.assert_close(found, plain.sum(1))
    torch.testing.assert_close(found, MultivariateNormal(mean, torch.diag_embed((2 * log_scale).exp())).log_prob(z))


def test_divergence_of_diagonal_gaussians() -> None:
    q, p = _random(5, 6), _random(5, 6, seed=1)
    (mean_q, log_q), (mean_p, log_p) = q.chunk(2, 1), p.chunk(2, 1)
    variance_q, variance_p = (2 * log_q).exp(), (2 * log_p).exp()
    closed = log_p - log_q + (variance_q + (mean_q - mean_p) ** 2) / (2 * variance_p) - 0.5
    torch.testing.assert_close(kl_divergence(gaussian(q), gaussian(p)), closed.sum(1))
    torch.testing.assert_close(kl_divergence(gaussian(q), gaussian(q)), torch.zeros(5).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_pixels(scale: float) -> None:
    """Also where a probability is 0 or 1 in float32: the logit itself is then the cost."""
    logits = scale * _random(4, 9)
    pixels = (_random(4, 9, seed=1) > 0).double()
    found = pixels_log_prob(logits, pixels)
    plain = -torch.where(pixels == 1, torch.log1p((-logits).exp()), torch.log1p(logits.exp()))
    plain = torch.where(plain.isinf(), -logits.abs(), plain)
    torch.testing.assert_close(found, plain.sum(1))
    torch.testing.assert_close(pixels_log_prob(logits.float(), pixels.float()), plain.sum(1).float())
    if scale == 1.0:
        torch.testing.assert_close(found, Bernoulli(probs=logits.sigmoid()).log_prob(pixels).sum(1))


def test_the_model_draws_from_its_own_distributions() -> None:
    """Each term recomputed from what the networks say of a (target, slot) pair, z by the noise of the generator."""
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    images = synthetic.characters([3, 3]).images.double()[:, None]
    targets, slots = images[:2], images[2:]
    address = torch.tensor([[0, 3, 3], [1, 1, 2]])
    log_terms = model.log_terms(targets, model.read(slots), address, torch.Generator().manual_seed(5))
    noise = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).view(2, 3, 4)

    encoded = model.encode_slots(slots)
    for b in range(2):
        for k in range(3):
            a = address[b, k][None]
            mean_q, log_q = model.recognise(targets, encoded, torch.tensor([b]), a)[0][0].chunk(2)
            mean_p, log_p = encoded.prior[a][0].chunk(2)
            q = Independent(Normal(mean_q, log_q.exp()), 1)
            p = Independent(Normal(mean_p, log_p.exp()), 1)
            z = mean_q + log_q.exp() * noise[b, k]
            means = model.decode(synthetic.Given(z[None]), encoded, a).sigmoid()[0]
            terms = {
                "log_px": Bernoulli(means).log_prob(targets[b].flatten()).sum(),
                "log_pz": p.log_prob(z),
                "log_qz": q.log_prob(z),
                "kl_z": kl_divergence(q, p),
            }
            for name, expected in terms.items():
                torch.testing.assert_close(getattr(log_terms, name)[b, k], expected, msg=lambda m, n=name: f"{n}: {m}")


def test_z_follows_q() -> None:
    """Over many samples at one address, −log q averages to its entropy and log q − log p to the divergence."""
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL)
    images = synthetic.characters([3, 3]).images.float()[:, None]
    address = torch.zeros(1, 4_000, dtype=torch.int64)
    with torch.no_grad():
        log_terms = model.log_terms(images[:1], model.read(images[1:]), address, torch.Generator().manual_seed(0))
        parameters = model.recognise(images[:1], model.encode_slots(images[1:]), address[0, :1], address[0, :1])[0]
    entropy = float(gaussian(parameters).entropy())
    assert float(-log_terms.log_qz.mean()) == pytest.approx(entropy, abs=4 * float(log_terms.log_qz.std()) / 4_000**0.5)
    difference = log_terms.log_qz - log_terms.log_pz
    kl = float(log_terms.kl_z[0, 0])
    assert float(difference.mean()) == pytest.approx(kl, abs=4 * float(difference.std()) / 4_000**0.5)
