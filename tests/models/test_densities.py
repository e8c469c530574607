"""Models with several levels of latents, whose posteriors are far from their priors, are densities of images.

Each test says by how much it would miss its mark if the priors of latents got half of what posteriors see of x.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from vmacore.config import ModelConfig
from vmacore.latents import Latents, Posterior, as_seen
from vmacore.models.reference_residual import Ladder, Place, ResidualReferenceModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.objectives import importance_bound


class Leak(Posterior):
    """Priors that get half of the correction."""

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        seen = posterior(self.evidence[len(self.kl)])
        return super().draw((prior + seen) / 2, lambda _: seen)


class Recorded:
    """Where latents come from, as `latents` says, and what came, by the reference's name."""

    def __init__(self, latents: Latents, names: Iterable[Place], drawn: dict[Place, Tensor]) -> None:
        self.latents, self.names, self.drawn = latents, iter(names), drawn

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        """The next latent, noted."""
        z = self.latents.draw(prior, posterior)
        self.drawn[next(self.names)] = z
        return z


def _record(model: Any) -> dict[Place, Tensor]:
    """A dictionary that holds, after a pass of the model, the latents that it has decoded, by stage."""
    drawn: dict[Place, Tensor] = {}
    decode = model.decode

    def recording(latents: Latents, encoded: Any, slot: Tensor) -> Tensor:
        logits: Tensor = decode(
            Recorded(latents, ResidualReferenceModel(model.config, {}).levels, drawn), encoded, slot
        )
        return logits

    model.decode = recording
    return drawn


class Known(Ladder):
    """A ladder of P samples whose latents are given, by stage."""

    def __init__(self, latents: dict[Place, Tensor]) -> None:
        super().__init__(noise=torch.zeros(1, 0))
        self.latents = latents

    def value(self, level: Place, mean: Tensor, log_scale: Tensor) -> Tensor:
        """The value, whatever the distribution."""
        return self.latents[level].flatten(1)


def _log_weight(model: VariationalMemoryAddressing, x: Tensor, m: Tensor, latents: dict[Place, Tensor]) -> Tensor:
    """log p(x, z|m) − log q(z|x, m) [P] of targets and slots [P, 1, H, W] at the latents given, by the plain model."""
    reference = ResidualReferenceModel(model.config, dict(model.named_parameters()))
    log_px, log_pz, log_qz, *_ = reference.terms(x, m, Known(latents))
    return log_px + log_pz - log_qz


def _fitted(size: tuple[int, int], slots: Tensor, steps: int = 40, **fields: Any) -> VariationalMemoryAddressing:
    """A model of two levels whose latents matter to the pixels, and whose q was fitted to images from all its slots.

    Priors N(·, 1), posteriors a little wider, so that no weight is far above the others.
    """
    torch.manual_seed(2)
    config = ModelConfig(network="residual", size=size, stages=(6, 8), blocks=(1, 1), embedding=4, hidden=8, **fields)
    model = VariationalMemoryAddressing(config).double()
    wide, means = 0.2, {}  # means: weights of the posteriors' means, and how many of their rows
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        for _, level in model.decoder.levels:
            c = level.latent
            level.both.weight[c:] = level.evidence.weight[c:] = 0
            level.both.bias[c : 2 * c], level.both.bias[3 * c :] = 0, wide
            level.entry.weight.normal_().mul_(2)
            means[level.evidence.weight] = c
            if level.hidden_out is not None:
                level.hidden_out.weight[c:] = level.hidden_out.bias[c:] = 0
                means[level.hidden_out.weight] = means[level.hidden_out.bias] = c
        if config.latent:
            for layer, bias in ((model.prior.out, 0), (model.recognition.head.out, wide)):
                layer.weight[config.latent :], layer.bias[config.latent :] = 0, bias
            out = model.recognition.head.out
            means[out.weight] = means[out.bias] = config.latent
    images, address = _generated(model, slots, 128)[:2]
    moved = {*model.recognition.parameters(), *means}
    for weight in model.parameters():
        weight.requires_grad_(weight in moved)
    optimiser = torch.optim.Adam([weight for weight in model.parameters() if weight in moved], lr=0.03)
    noise = torch.Generator().manual_seed(0)
    for step in range(steps):
        part = torch.arange(32) + 32 * (step % 4)
        log_terms = model.log_terms(images[part], model.read(slots), address[part, None], noise)
        optimiser.zero_grad()
        (log_terms.kl_z - log_terms.log_px).mean().backward()
        for weight, count in means.items():
            weight.grad[count:] = 0  # standard deviations stay
        optimiser.step()
    return model.requires_grad_(False)


def _generated(
    model: VariationalMemoryAddressing, slots: Tensor, count: int
) -> tuple[Tensor, Tensor, dict[Place, Tensor]]:
    """Images x ~ p(x|M) [N, 1, H, W], and the addresses [N] and latents that they were made from."""
    noise = torch.Generator().manual_seed(4)
    latents = _record(model)
    memory = model.read(slots)
    address = model.address(slots, memory).draw_prior((count,), noise)
    logits = model.generate(memory, address, noise).detach()
    del model.decode  # the one that records
    return torch.bernoulli(logits.sigmoid(), generator=noise).view(count, 1, *model.size), address, latents


EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).double().view(64, 1, 2, 3)


def _sum(model: VariationalMemoryAddressing, samples: int) -> tuple[float, float]:
    """Σ_x p(x|M) over the 64 images of 2×3 pixels, estimated, and its standard error."""
    memory, noise = model.read(EVERY[[5, 22, 43]]), torch.Generator().manual_seed(1)
    addressing = model.address(EVERY, memory)
    address = addressing.draw(samples, noise)
    weights = (model.log_terms(EVERY, memory, address, noise).log_weight + addressing.log_weight(address)).exp()
    return float(weights.mean(1).sum()), float(weights.var(1).sum().div(samples).sqrt())


@pytest.mark.parametrize(
    "kind",
    [
        {"latent": 1, "latent_maps": (1, 2)},
        {"latent": 0, "latent_maps": (1, 1), "posterior_hidden": 4},
        {"latent": 0, "latent_maps": (1, 1), "latent_layers": (1, 2)},
    ],
    ids=["vector", "posterior_hidden", "layers"],
)
def test_probabilities_of_all_images_sum_to_one(monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any]) -> None:
    model = _fitted((2, 3), EVERY[[5, 22, 43]], **kind)
    total, error = _sum(model, 500)
    monkeypatch.setattr("vmacore.models.vma.Posterior", Leak)
    leaking, its_error = _sum(model, 500)
    assert abs(total - 1) < 3.5 * error
    assert leaking - 1 > 5 * max(error, its_error)


def _bounds(model: VariationalMemoryAddressing, slots: Tensor, samples: int, images: int = 80) -> tuple[Tensor, Tensor]:
    """Bounds on log p(x|M) of images from the model, a lower and an upper one [N] each.

    In the upper one the first sample is the (a, z) that x was made from, a sample of the exact posterior, and all its
    weights are those of the plain model (Grosse et al. 2015).
    """
    x, made_from, latents = _generated(model, slots, images)
    memory, noise = model.read(slots), torch.Generator().manual_seed(3)
    addressing = model.address(x, memory)
    exact = _log_weight(model, x, slots[made_from], latents)[:, None]
    exact = exact + addressing.log_weight(made_from[:, None])
    address = addressing.draw(samples, noise)
    drawn = _record(model)
    lower = model.log_terms(x, memory, address, noise).log_weight + addressing.log_weight(address)
    del model.decode
    others = _log_weight(model, x.repeat_interleave(samples, 0), slots[address.flatten()], drawn)
    others = others.view(lower.shape) + addressing.log_weight(address)
    return importance_bound(lower), importance_bound(torch.cat([exact, others[:, 1:]], 1))


def test_lower_and_upper_bounds_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = (torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    model = _fitted((4, 4), slots, latent=0, latent_maps=(1, 1), steps=60)

    def gap(samples: int) -> tuple[float, float]:
        lower, upper = _bounds(model, slots, samples)
        return float((upper - lower).mean()), float((upper - lower).std()) / len(lower) ** 0.5

    (loose, _), (near, error) = gap(1), gap(100)
    monkeypatch.setattr("vmacore.models.vma.Posterior", Leak)
    leaking, its_error = gap(100)
    assert 0 < near < 0.1
    assert near < loose - 0.3
    assert leaking < -5 * max(error, its_error)
