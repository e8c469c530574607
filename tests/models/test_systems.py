"""The models without a hard address: each against its equations written as loops, and trained as any other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from tests import synthetic
from vmacore.config import ModelConfig
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.likelihood import score
from vmacore.evaluation.sampling import sample_grid
from vmacore.latents import Prior
from vmacore.models import create_model
from vmacore.models.soft_attention import SoftAttention
from vmacore.models.vae import VariationalAutoencoder
from vmacore.runs.directory import RunDirectory
from vmacore.training.loop import prepare, train

FLAT: dict[str, Any] = {"network": "fully-connected", "layers": (16, 8)}
KINDS: dict[str, dict[str, Any]] = {
    "vae": {"system": "vae"},
    "vae, fully connected": {"system": "vae", **FLAT},
    "features": {"system": "soft-attention"},
    "features, fully connected": {"system": "soft-attention", **FLAT},
    "pixels": {"system": "soft-attention", "read": "pixels", "similarity": "cosine"},
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def _config(kind: dict[str, Any]) -> ModelConfig:
    return synthetic.MODEL.changed(**kind)


def _model(kind: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = create_model(_config(kind)).double()
    with torch.no_grad():  # away from where it starts, so that no term hides behind a zero
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def _images(count: int, seed: int = 0) -> Tensor:
    return (torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


@kinds
@pytest.mark.parametrize("chunk", [None, 4])
def test_draws_are_those_of_the_equations(kind: dict[str, Any], chunk: int | None) -> None:
    model, targets, slots = _model(kind), _images(3), _images(5, seed=1)
    mask = None
    if kind["system"] == "soft-attention":
        mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)
    memory = model.read(slots, mask)
    addressing = model.address(targets, memory)
    assert addressing.kl().tolist() == [0.0] * 3
    address = addressing.draw(4, torch.Generator().manual_seed(0))
    assert address.tolist() == [[0] * 4] * 3
    log_terms = model.log_terms(targets, memory, address, torch.Generator().manual_seed(5), chunk)
    noise = torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).view(3, 4, 4)

    prior = Independent(Normal(torch.zeros(4).double(), 1.0), 1)
    for b in range(3):
        mean, log_scale = model.latent_posterior(targets[b : b + 1])[0].chunk(2)
        q = Independent(Normal(mean, log_scale.exp()), 1)
        for k in range(4):
            z = mean + log_scale.exp() * noise[b, k]
            logits = _logits(model, z, slots if mask is None else slots[mask[b]])
            terms = {
                "log_px": Bernoulli(logits=logits).log_prob(targets[b].flatten()).sum(),
                "log_pz": prior.log_prob(z),
                "log_qz": q.log_prob(z),
                "kl_z": kl_divergence(q, prior),
            }
            for name, expected in terms.items():
                torch.testing.assert_close(getattr(log_terms, name)[b, k], expected, msg=lambda m, n=name: f"{n}: {m}")


def _logits(model: VariationalAutoencoder | SoftAttention, z: Tensor, slots: Tensor) -> Tensor:
    """One image from one z, with the slots it may see, plainly."""
    if isinstance(model, VariationalAutoencoder):
        x = model.decoder(z[None])
        return x.flatten()
    keys = model.key_network(slots)
    query = model.query_network(z[None])[0]
    scores = keys @ query / keys.norm(dim=1)
    if model.config.similarity == "cosine":
        scores = scores / query.norm()
    weights = scores.softmax(0)
    if model.config.read == "pixels":
        shares = model.encode_slots((weights[:, None, None, None] * slots).sum(0, keepdim=True))
    else:  # the maps of the pyramids are mixed, then every layer reads its own
        maps = [sum(w * m for w, m in zip(weights, level, strict=True))[None] for level in model.slot_encoder(slots)]
        shares = model.decoder.slot_side(model.slot_encoder.top(maps), maps)
    return model.decoder(z[None], shares, None, Prior()).flatten()


def test_the_decoder_of_the_vae_is_a_mirrored_pyramid() -> None:
    """Its last layer, a matrix product of nine taps, is the convolution it stands for."""
    model = _model({"system": "vae"})
    seen: dict[str, Tensor] = {}
    model.decoder.layers[-2].register_forward_hook(lambda _m, _i, out: seen.update(maps=out.clone()))
    logits = model.decoder(torch.randn(2, 4).double())
    output = model.decoder.layers[-1]
    expected = torch.nn.functional.conv2d(seen["maps"].relu(), output.weight, output.bias, padding=1)
    torch.testing.assert_close(logits, expected)


@kinds
@pytest.mark.parametrize("samples", [1, 3])
def test_they_train_score_and_draw(kind: dict[str, Any], samples: int, tmp_path: Path) -> None:
    """One sample is enough where there is no baseline to make of the others."""
    dataset = synthetic.dataset()
    config = prepare(
        synthetic.config(
            model=_config(kind).model_dump(),
            objective={"samples": samples},
            training={"steps": 60, "validate_every": 30},
            optimiser={"learning_rate": 1e-2},
        ),
        dataset,
    )
    reports: list[float] = []
    run = RunDirectory.create(tmp_path / "run", config)
    train(run, dataset, on_step=lambda report: reports.append(report.nll))
    assert reports[-1] < reports[0] - 2.0

    model = create_model(config.model)
    found = score(model, dataset.test, classes=3, shots=2, samples=5, episodes=3)
    assert found.kl_address == found.prior_entropy == found.posterior_entropy == 0.0
    assert math.isclose(-found.elbo, found.reconstruction + found.kl_latent, rel_tol=1e-6)
    grid = sample_grid(model, dataset.test, classes=3, shots=2, rows=2, columns=3)
    assert grid.samples.shape == (2, 3, 8, 8)
    assert bool(grid.slots.isnan().all())
    assert len(grid.samples.view(6, -1).unique(dim=0)) == 6


def test_a_vae_is_blind_to_memory_and_soft_attention_is_not() -> None:
    targets = _images(3)
    for kind, blind in ((KINDS["vae"], True), (KINDS["features"], False)):
        model = _model(kind)
        found = [
            model.log_terms(
                targets, model.read(_images(5, seed)), torch.zeros(3, 2).long(), torch.Generator().manual_seed(0)
            )
            for seed in (1, 2)
        ]
        assert torch.equal(found[0].log_px, found[1].log_px) == blind


def test_samples_of_soft_attention_come_from_the_prior() -> None:
    """Its pictures from a memory average to what decoding z ~ N(0, I) gives."""
    model = _model(KINDS["features"])
    model.requires_grad_(False)
    memory = model.read(_images(4, seed=1))
    drawn = model.generate(memory, torch.zeros(400).long(), torch.Generator().manual_seed(0))
    z = torch.randn(400, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = torch.stack([_logits(model, one, memory.slots) for one in z])
    error = (drawn.var(0) / 400 + other.var(0) / 400).sqrt()
    assert float(((drawn.mean(0) - other.mean(0)) / error).abs().max()) < 4.5


def test_several_memories_in_a_step_are_as_many_of_one() -> None:
    model = _model(KINDS["features"]).float()
    characters = synthetic.characters([8] * 6)
    episode = EpisodeSampler(characters, n_way=4, n_shot=2, n_target=3, seed=0, n_memories=2).at(0)
    address = torch.zeros(12, 2, dtype=torch.int64)
    together = model.log_terms(
        episode.targets, model.read(episode.memory, episode.mask), address, torch.Generator().manual_seed(0)
    )
    noise_again = torch.Generator().manual_seed(0)
    for half in range(2):
        targets, slots = episode.targets[6 * half :][:6], episode.memory[4 * half :][:4]
        alone = model.log_terms(targets, model.read(slots), address[:6], noise_again)
        torch.testing.assert_close(alone.log_px, together.log_px[6 * half :][:6], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [{}, *KINDS.values()], ids=["vma", *KINDS])
@pytest.mark.parametrize("size", [(10, 8), (8, 7), (64, 1)])
def test_targets_of_another_size_are_refused(kind: dict[str, Any], size: tuple[int, int]) -> None:
    """Networks with convolutions would take most sizes, and answer."""
    model = _model(kind)
    memory = model.read(_images(3))
    with pytest.raises(ValueError, match=r"targets of shape .* but the model reads \[B, \(1, 8, 8\)\]"):
        model.address(torch.zeros(2, 1, *size, dtype=torch.float64), memory)
