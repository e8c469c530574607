"""The residual model and its ladder of latents against the same function written plainly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vmacore.config import ModelConfig
from vmacore.estimators import Addresses
from vmacore.estimators.vimco import Vimco
from vmacore.latents import Prior
from vmacore.models.reference_residual import ResidualReferenceModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.objectives import vimco

# Sizes are odd and not square, so that no edge is left out and no axis can be taken for the other.
LADDER = ModelConfig(
    network="residual", size=(10, 7), stages=(4, 5, 6), blocks=(1, 2, 1), latent_maps=(2, 1, 3), latent=3, hidden=8,
    embedding=5, posterior_hidden=4,
)  # fmt: skip
CONFIGS = {
    "vector and maps": LADDER,
    "maps alone": LADDER.model_copy(
        update={"latent": 0, "posterior_hidden": 0, "normalised_embedding": True, "tied": True}
    ),
    "several latents at a size": LADDER.model_copy(update={"latent_layers": (2, 1, 3)}),
    "vector alone": LADDER.model_copy(update={"latent_maps": (0, 0, 0)}),
    "no finest maps": LADDER.model_copy(update={"latent_maps": (0, 2, 1)}),
}
TOLERANCE = 1e-9


def _ready(config: ModelConfig) -> VariationalMemoryAddressing:
    """Weights none of which is where it starts, since corrections and residual blocks start at zero.

    They are so large that q is far from p at every stage, and so small that no sample has all the weight.
    """
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(config).double()
    with torch.no_grad():
        for weight in model.parameters():
            spread = 0.5 * weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.3
            weight.copy_(spread * torch.randn_like(weight))
    return model.to(memory_format=torch.channels_last)


def _images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, *LADDER.size, generator=torch.Generator().manual_seed(seed)).round().double()


def _plain(model: VariationalMemoryAddressing) -> dict[str, Tensor]:
    return {name: weight.detach().clone().requires_grad_() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_values_and_gradients_equal_the_reference(config: ModelConfig) -> None:
    model = _ready(config)
    parameters = _plain(model)
    targets, slots = _images(3, 1), _images(4, 2)
    address = torch.tensor([[2, 2, 0], [1, 3, 2], [0, 3, 3]])  # with equal pairs, which the model computes once
    numbers = config.latent + model.decoder.finer
    noise = torch.randn(9, numbers, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    memory = model.read(slots)
    ours = model.address(targets, memory)
    our_log_terms = model.log_terms(targets, memory, address, torch.Generator().manual_seed(4))
    theirs, their_log_terms = ResidualReferenceModel(config, parameters)(targets, slots, address, noise)
    assert bool((their_log_terms.kl[0 if config.latent else 1 :] > 0.1).all()), "q is too near p to test anything"

    for name in ("log_q", "log_p"):
        _equal(name, getattr(ours, name), getattr(theirs, name))
    for name in ("log_px", "log_pz", "log_qz", "kl"):
        _equal(name, getattr(our_log_terms, name), getattr(their_log_terms, name))

    Vimco(3).objective(our_log_terms, ours, Addresses(address)).surrogate.mean().backward()
    log_qa = theirs.log_q.gather(1, address)
    log_w = their_log_terms.log_weight + theirs.log_p[address] - log_qa.detach()
    vimco(log_w, log_qa).surrogate.mean().backward()
    for name, weight in model.named_parameters():
        gradient = parameters[name].grad
        assert gradient is not None, name
        assert float(gradient.norm()) > 0, name
        assert weight.grad is not None, name
        assert float((weight.grad - gradient).norm()) <= TOLERANCE * float(gradient.norm()), name


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.no_grad()
def test_generated_images_equal_the_reference(config: ModelConfig) -> None:
    model, slots, address = _ready(config), _images(4, 2), torch.tensor([3, 0, 3])
    ours = model.generate(model.read(slots), address, torch.Generator().manual_seed(5))
    draw = torch.Generator().manual_seed(5)
    places = [(2, 1), (3, 2), (5, 4)]  # sizes of the maps, coarsest first
    layers = config.latent_layers or (1, 1, 1)
    coarse_to_fine = zip(places, config.latent_maps[::-1], layers[::-1], strict=True)
    shapes = [(config.latent,), *((*size, maps) for size, maps, many in coarse_to_fine for _ in range(many))]
    noise = torch.cat([torch.randn(3, *shape, dtype=torch.float64, generator=draw).flatten(1) for shape in shapes], 1)
    theirs = ResidualReferenceModel(config, _plain(model)).generate(slots[address], noise)
    _equal("logits", ours, theirs.flatten(1))


@pytest.mark.parametrize("stage", [0, 1, 2], ids=["5x4", "3x2", "2x1"])
@torch.no_grad()
def test_the_slot_reaches_the_pixels_at_this_size(stage: int) -> None:
    model = _ready(LADDER)
    encoded = model.encode_slots(_images(3, 2))

    def logits() -> Tensor:
        return model.decode(Prior(torch.Generator().manual_seed(0)), encoded, torch.arange(3))

    before = logits()
    encoded.decoder[1 + stage].add_(torch.arange(1.0, 1 + LADDER.stages[stage])[:, None, None])
    assert float((logits() - before).abs().amax(1).min()) > 1e-2


@pytest.mark.parametrize("normalised", [True, False])
@torch.no_grad()
def test_normalised_tops_have_mean_0_and_variance_1(normalised: bool) -> None:
    embedding: Any = _ready(LADDER.model_copy(update={"normalised_embedding": normalised})).key_network
    top = embedding.pyramid.top(embedding.pyramid(5 * _images(3, 2)))
    assert torch.allclose(top.mean(1), top.new_zeros(3), atol=1e-6) is normalised
    assert torch.allclose(top.var(1, correction=0), top.new_ones(3), atol=1e-2) is normalised


def _equal(name: str, ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda m: f"{name}: {m}")
