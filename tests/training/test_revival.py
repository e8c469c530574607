"""Idle units, maps and latents come back, and what the network computes stays as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor

from tests import synthetic
from vmacore.config import ModelConfig
from vmacore.episodes import training_sampler
from vmacore.errors import VmaError
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.networks.patches import Block
from vmacore.networks.residual import Decoder, Level, Recognition
from vmacore.training.revival import Revived, revive

CONFIG = synthetic.config()
SAMPLER = training_sampler(CONFIG, synthetic.dataset().train, "cpu")
EPISODES = [
    replace(episode, targets=episode.targets.double(), memory=episode.memory.double())
    for episode in (SAMPLER.at(0), SAMPLER.at(1))
]
IDLE = -50.0  # a bias that no input overcomes


def model_of(latent: int = 3, *, normalised: bool = False) -> VariationalMemoryAddressing:
    """Networks whose every latent is in use."""
    torch.manual_seed(0)
    config = ModelConfig(
        network="residual", size=(8, 8), stages=(6, 8), blocks=(1, 1), latent_maps=(2, 2), latent=latent,
        embedding=5, hidden=8, tied=True, posterior_hidden=4, normalised=normalised,
    )  # fmt: skip
    model = VariationalMemoryAddressing(config).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def revived(model: VariationalMemoryAddressing) -> Revived:
    return revive(model, EPISODES, 3, torch.Generator().manual_seed(1))


@torch.no_grad()
def terms(model: VariationalMemoryAddressing) -> Tensor:
    episode = EPISODES[0]
    memory = model.read(episode.memory)
    address = torch.arange(3).expand(len(episode.targets), 3)
    log_terms = model.log_terms(episode.targets, memory, address, torch.Generator().manual_seed(5))
    return torch.cat([torch.stack([log_terms.log_px, log_terms.log_pz, log_terms.log_qz]), log_terms.kl])


@torch.no_grad()
def kill_units(model: VariationalMemoryAddressing) -> list[tuple[Block, int]]:
    """One hidden unit of every block of the generative half."""
    killed = []
    for part in (model.slot_encoder, model.recognition, model.decoder):
        for block in [module for module in part.modules() if isinstance(module, Block)]:
            block.first.weight[1] = 0
            assert block.first.bias is not None
            block.first.bias[1] = IDLE
            killed.append((block, 1))
    return killed


@torch.no_grad()
def kill_maps(model: VariationalMemoryAddressing) -> None:
    """Map 2 of the coarse stage of both pyramids, and of the decoder."""
    decoder: Decoder = model.decoder  # type: ignore[assignment]
    writers = [model.slot_encoder.trunk.merges[0], model.recognition.trunk.merges[0], decoder.skips[1]]  # type: ignore
    for writer in writers:
        writer.bias[2] = 3 * IDLE


@pytest.mark.parametrize(("latent", "normalised"), [(3, False), (0, False), (3, True)])
def test_nothing_changes_but_what_was_idle(latent: int, normalised: bool) -> None:
    model = model_of(latent, normalised=normalised)
    alive = {id(block): block.first.weight.clone() for block in model.modules() if isinstance(block, Block)}
    killed = kill_units(model)
    if not normalised:
        kill_maps(model)
    before = terms(model)
    found = revived(model)
    assert found.units >= len(killed)
    assert found.maps >= (0 if normalised else 3)
    assert found.latents == []
    torch.testing.assert_close(terms(model), before, rtol=1e-9, atol=1e-9)
    for block, unit in killed:
        assert float(block.first.weight[unit].detach().abs().sum()) > 0
        assert float(block.second.weight[:, unit].detach().abs().sum()) == 0
    for block in model.key_network.modules():
        if isinstance(block, Block):
            assert torch.equal(block.first.weight, alive[id(block)])  # h stays


def test_what_came_back_has_a_gradient() -> None:
    model = model_of()
    killed = kill_units(model)
    episode = EPISODES[0]

    def gradients() -> list[float]:
        model.zero_grad()
        memory = model.read(episode.memory)
        address = torch.arange(3).expand(len(episode.targets), 3)
        log_terms = model.log_terms(episode.targets, memory, address, torch.Generator().manual_seed(5))
        log_terms.log_weight.sum().backward()
        found = []
        for block, unit in killed:
            gradient = block.second.weight.grad
            assert gradient is not None
            found.append(float(gradient[:, unit].abs().sum()))
        return found

    assert max(gradients()) == 0
    revived(model)
    assert min(gradients()) > 0


@torch.no_grad()
def test_a_coarse_latent_that_carries_nothing_starts_again() -> None:
    model = model_of()
    decoder: Decoder = model.decoder  # type: ignore[assignment]
    level = decoder.levels["1"]
    for layer in (level.evidence, level.meeting):  # type: ignore[union-attr]
        layer.weight.zero_()  # type: ignore[union-attr, operator]
    level.meeting.bias.zero_()  # type: ignore[union-attr, operator]
    level.both.weight[4:], level.both.bias[4:] = 0, 0  # type: ignore[union-attr, operator, index]
    assert float(terms(model)[4].abs().max()) == 0  # q is p
    found = revived(model)
    assert found.latents == [1]
    assert float(level.both.weight.abs().sum() + level.both.bias.abs().sum()) == 0  # type: ignore
    assert float(level.entry.weight.std()) > 0.1  # type: ignore
    assert bool((terms(model)[5] > 0).all())  # the finest one is left alone


@torch.no_grad()
def test_what_a_latent_added_in_the_mean_stays() -> None:
    model = model_of(latent=0)
    level = cast(Level, cast(Decoder, model.decoder).levels["1"])
    for layer in (level.evidence, cast(torch.nn.Linear, level.meeting)):
        layer.weight.zero_()
    cast(torch.nn.Linear, level.meeting).bias.zero_()
    level.both.weight.zero_()
    level.both.bias.copy_(torch.tensor([3.0, -2.0, -9.0, -9.0, 0, 0, 0, 0]))  # p = q, hardly any noise
    added = level.entry.bias + level.entry.weight @ torch.tensor([3.0, -2.0]).double()
    assert revived(model).latents == [1]
    torch.testing.assert_close(level.entry.bias.detach(), added, rtol=0, atol=1e-3)


@torch.no_grad()
def test_a_map_that_a_level_alone_reads_is_in_use() -> None:
    """Positive before the latent comes in and never after it."""
    model = model_of(latent=0)
    decoder = cast(Decoder, model.decoder)
    cast(Level, decoder.levels["1"]).entry.bias[2] = 3 * IDLE
    before = terms(model)
    assert revived(model).latents == []
    torch.testing.assert_close(terms(model), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalised", [False, True])
def test_what_serves_a_restarted_latent_alone_starts_anew(normalised: bool) -> None:
    """Its share of x came from maps that were positive nowhere, and has a gradient now."""
    model = model_of(latent=0, normalised=normalised)
    recognition, decoder = cast(Recognition, model.recognition), cast(Decoder, model.decoder)
    level = cast(Level, decoder.levels["1"])
    with torch.no_grad():
        cast(torch.nn.Linear, recognition.trunk.merges[0]).bias -= 1000
        for layer in (level.both, level.evidence, cast(torch.nn.Linear, level.meeting)):
            layer.weight.zero_()
            layer.bias.zero_() if layer.bias is not None else None
    assert revived(model).latents == [1]
    episode = EPISODES[0]
    memory = model.read(episode.memory)
    address = torch.arange(3).expand(len(episode.targets), 3)
    log_terms = model.log_terms(episode.targets, memory, address, torch.Generator().manual_seed(5))
    log_terms.log_weight.sum().backward()
    gradient = level.evidence.weight.grad
    assert gradient is not None
    assert float(gradient.abs().sum()) > 0


def test_other_networks_cannot_be_revived() -> None:
    with pytest.raises(VmaError, match="only residual networks"):
        revived(VariationalMemoryAddressing(ModelConfig(channels=(4, 4), size=(8, 8))))
