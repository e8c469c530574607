"""The residual networks and every term of their weights, against the same networks written plainly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.networks import plain_pyramid as plain
from vmacore.config import ModelConfig
from vmacore.latents import Prior
from vmacore.models.vma import VariationalMemoryAddressing

close = torch.testing.assert_close


def _model(**changes: Any) -> VariationalMemoryAddressing:
    """Maps of 13×13, 7×7 and 4×4 with a latent at each, and weights away from zero, so that nothing hides behind it."""
    torch.manual_seed(0)
    fields = {"size": (26, 26), "stages": (3, 4, 5), "blocks": (1, 1, 1), "latent_maps": (1, 2, 2), "latent": 3}
    config = ModelConfig(network="residual", embedding=5, hidden=8, **{**fields, **changes})
    model = VariationalMemoryAddressing(config).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
        for layer in (layer for level in model.decoder.levels.values() for layer in level.starting_at_zero()):  # type: ignore[operator, union-attr]
            layer.weight.mul_(0.3)  # standard deviations that a float64 holds
    return model


def _images(count: int, seed: int) -> Tensor:
    return (torch.rand(count, 1, 26, 26, generator=torch.Generator().manual_seed(seed)) < 0.3).double()


X, M, ADDRESS = _images(2, 1), _images(3, 2), torch.tensor([[0, 2, 2], [1, 1, 2]])
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"normalised": True}, {"posterior_hidden": 4, "latent": 0}],
    ids=["plain", "normalised", "meeting, no vector"],
)


def _both(model: VariationalMemoryAddressing, seed: int = 3) -> tuple[Any, plain.Terms]:
    """What the model says of six samples, and what its own latents are worth by the plain networks."""
    latents = plain.record(model)
    log_terms = model.log_terms(X, model.read(M), ADDRESS, torch.Generator().manual_seed(seed))
    return log_terms, plain.terms(model, X.repeat_interleave(3, 0), M[ADDRESS.flatten()], latents)


@KINDS
@torch.no_grad()
def test_embeddings(kind: dict[str, Any]) -> None:
    model = _model(**kind)
    expected = plain.embedding(model.key_network, M, model.config.normalised)
    close(model.keys(M), expected)
    close(model.queries(X), plain.embedding(model.query_network, X, model.config.normalised))


@torch.no_grad()
def test_normalised_tops_have_mean_0_and_variance_1() -> None:
    for normalised in (True, False):
        slot_encoder: Any = _model(normalised=normalised).slot_encoder
        top = slot_encoder.top(slot_encoder(5 * M))
        assert torch.allclose(top.mean(1), top.new_zeros(3), atol=1e-6) is normalised
        assert torch.allclose(top.var(1, correction=0), top.new_ones(3), atol=1e-2) is normalised


@KINDS
@torch.no_grad()
def test_what_posteriors_see_of_x(kind: dict[str, Any]) -> None:
    """The vector's parameters, and the shares of x in the correction of every stage: linear in ReLUs of the maps."""
    model = _model(**kind)
    target, slot = torch.arange(2).repeat_interleave(3), ADDRESS.flatten()
    parameters, *shares = model.recognise(X, model.encode_slots(M), target, slot)
    maps = plain.recognition(model.recognition, X[target], M[slot])
    if model.config.latent:
        close(parameters, plain.head(model.recognition.head, plain.vectors(maps, model.config.normalised)))  # type: ignore[union-attr]
    for stage, share in enumerate(reversed(shares)):
        level: Any = model.decoder.levels[str(stage)]  # type: ignore[index]
        seen = maps[stage].relu().permute(0, 2, 3, 1)
        close(share, torch.cat([read(seen) for read in level.reading_evidence()], -1))


@KINDS
@torch.no_grad()
def test_pixels_see_every_latent_and_the_slot_at_every_size(kind: dict[str, Any]) -> None:
    log_terms, terms = _both(_model(**kind))
    close(log_terms.log_px.flatten(), terms.log_px)


@pytest.mark.parametrize("stage", [0, 1, 2], ids=["13x13", "7x7", "4x4"])
@torch.no_grad()
def test_the_slot_reaches_the_pixels_at_this_size(stage: int) -> None:
    model = _model()
    encoded = model.encode_slots(M)
    slot = torch.arange(3)

    def logits() -> Tensor:
        return model.decode(Prior(torch.Generator().manual_seed(0)), encoded, slot)

    before = logits()
    encoded.decoder[1 + stage].add_(1.0)
    assert float((logits() - before).abs().amax(1).min()) > 1e-2


@KINDS
@torch.no_grad()
def test_priors_know_nothing_of_x(kind: dict[str, Any]) -> None:
    """log p(z_l|z_<l, m), at the latents drawn, is what networks say that never see x."""
    log_terms, terms = _both(_model(**kind))
    close(log_terms.log_pz.flatten(), sum(terms.log_p.values()))
    # The test can tell: posteriors are far from them.
    assert all(float(kl.min()) > 0.1 for kl in terms.kl.values())


@KINDS
@torch.no_grad()
def test_posteriors_and_divergences(kind: dict[str, Any]) -> None:
    log_terms, terms = _both(_model(**kind))
    close(log_terms.log_qz.flatten(), sum(terms.log_q.values()))
    close(log_terms.kl_z.flatten(), sum(terms.kl.values()))
    close(log_terms.kl[1:].flatten(1), torch.stack([terms.kl[stage] for stage in (2, 1, 0)]))


@KINDS
@torch.no_grad()
def test_every_latent_has_noise_of_its_own(kind: dict[str, Any]) -> None:
    """Standardised, the numbers in all latents of all samples are as many different ones, standard normal."""
    _, terms = _both(_model(**kind))
    noise = torch.cat(list(terms.noise.values()), 1)
    assert noise.shape == (6, 13 * 13 + 7 * 7 * 2 + 4 * 4 * 2 + kind.get("latent", 3))
    ordered = noise.flatten().sort().values
    assert float(ordered.diff().min()) > 1e-9
    assert abs(float(noise.mean())) < 4 / noise.numel() ** 0.5
    assert float(noise.std()) == pytest.approx(1, abs=4 / (2 * noise.numel()) ** 0.5)


@torch.no_grad()
def test_generation_has_new_noise_for_every_latent() -> None:
    model = _model()
    latents = plain.record(model)
    logits = model.generate(model.read(M), torch.tensor([0, 2]), torch.Generator().manual_seed(3))
    slots = M[[0, 2]]
    maps, noise = plain.slot_encoder(model.slot_encoder, slots), []

    def standardised(value: Tensor, parameters: Tensor) -> None:
        mean, log_scale = parameters.chunk(2, -1)
        noise.append(((value - mean) / log_scale.exp()).flatten())

    def draw(stage: int, features: Tensor) -> Tensor:
        level: Any = model.decoder.levels[str(stage)]  # type: ignore[index]
        standardised(latents[stage], level.both(features).chunk(2, -1)[0])
        return latents[stage]

    standardised(latents["z"], plain.head(model.prior, plain.vectors(maps, False)))
    close(plain.decoder(model.decoder, latents["z"], maps, False, draw).flatten(1), logits)
    numbers = torch.cat(noise)
    assert float(numbers.sort().values.diff().min()) > 1e-9
    assert float(numbers.std()) == pytest.approx(1, abs=4 / (2 * len(numbers)) ** 0.5)


@pytest.mark.parametrize("kind", [{}, {"latent": 0, "latent_maps": (0, 1, 2)}], ids=["all", "none at the finest"])
@torch.no_grad()
def test_warm_up_weighs_all_latents_but_the_finest(kind: dict[str, Any]) -> None:
    model = _model(**kind)
    finest = 0 if model.config.latent_maps[0] else 1
    for coarse_weight in (0.0, 0.25, 1.0):
        model.coarse_weight = coarse_weight
        log_terms, terms = _both(model)
        weights = {name: 1.0 if name == finest else coarse_weight for name in terms.log_p}
        close(log_terms.log_pz.flatten(), sum(weights[name] * term for name, term in terms.log_p.items()))
        close(log_terms.log_qz.flatten(), sum(weights[name] * term for name, term in terms.log_q.items()))
