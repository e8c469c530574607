"""Latents at every resolution: the weights are those of a density, whatever is shared."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from vmacore.config import Config, ModelConfig
from vmacore.errors import VmaError
from vmacore.latents import Posterior, Prior
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.networks.residual import Level


def model_of(
    size: tuple[int, int] = (8, 8),
    stages: tuple[int, ...] = (4, 6),
    finer: tuple[int, ...] = (2, 3),
    tied: bool = False,
    latent: int = 3,
    posterior_hidden: int = 0,
    layers: tuple[int, ...] = (),
) -> VariationalMemoryAddressing:
    torch.manual_seed(1)
    config = ModelConfig(
        network="residual", size=size, stages=stages, blocks=(1,) * len(stages), latent_maps=finer, latent=latent,
        embedding=5, hidden=8, tied=tied, posterior_hidden=posterior_hidden,
        latent_layers=layers,
    )  # fmt: skip
    model = VariationalMemoryAddressing(config).double()
    with torch.no_grad():  # from zero, prior and posterior would be the same and nothing would be tested
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def images(count: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(seed)).round().double()


@pytest.mark.parametrize(
    ("finer", "latent", "posterior_hidden", "layers"),
    [
        ((2,), 3, 0, ()),
        ((0,), 3, 0, ()),
        ((2,), 0, 0, ()),
        ((2,), 0, 4, ()),
        ((2,), 0, 4, (3,)),
    ],
)
@torch.no_grad()
def test_densities_of_all_images_sum_to_one(
    finer: tuple[int, ...], latent: int, posterior_hidden: int, layers: tuple[int, ...]
) -> None:
    """Σ_x p(x|M) = 1 for the 16 images of 2×2 pixels: weights are unbiased, so no posterior leaks into the pixels."""
    model = model_of((2, 2), (8,), finer, latent=latent, posterior_hidden=posterior_hidden, layers=layers)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double().view(16, 1, 2, 2)
    memory = model.read(images(3, (2, 2)))
    addressing = model.address(every, memory)
    noise = torch.Generator().manual_seed(1)
    address = addressing.draw(4000, noise)
    weights = (
        model.log_terms(every, memory, address, noise).log_weight + addressing.log_weight(address)
    ).exp()  # [16, K]
    error = float(weights.var(1).sum().div(4000).sqrt())
    assert error < 0.02
    assert abs(float(weights.mean(1).sum()) - 1) < 4 * error


@torch.no_grad()
def test_kl_is_the_mean_of_the_log_ratio() -> None:
    model = model_of()
    x, memory = images(1, (8, 8), 1), model.read(images(2, (8, 8), 2))
    log_terms = model.log_terms(x, memory, torch.zeros(1, 4000, dtype=torch.long), torch.Generator().manual_seed(3))
    difference = (log_terms.log_qz - log_terms.log_pz - log_terms.kl_z)[0]
    assert float(log_terms.kl_z.min()) > 0
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(4000)


@torch.no_grad()
def test_kl_of_the_stages_and_of_the_vector_is_the_whole() -> None:
    model = model_of(posterior_hidden=3)
    x, memory = images(2, (8, 8), 1), model.read(images(2, (8, 8), 2))
    address = torch.tensor([[0, 1], [1, 1]])
    log_terms = model.log_terms(x, memory, address, torch.Generator().manual_seed(3), chunk=3)
    assert log_terms.kl.shape == (3, 2, 2)
    assert bool((log_terms.kl > 0).all())
    torch.testing.assert_close(log_terms.kl.sum(0), log_terms.kl_z)
    without = model_of(latent=0, posterior_hidden=3)
    with_maps_alone = without.log_terms(x, without.read(memory.slots), address, torch.Generator().manual_seed(3))
    assert bool((with_maps_alone.kl[0] == 0).all())  # of a vector of no numbers
    assert bool((with_maps_alone.kl[1:] > 0).all())


def test_latents_are_called_by_size_and_number() -> None:
    assert model_of().latent_names == ("z", "2×2", "4×4")
    assert model_of(layers=(1, 3)).latent_names == ("z", "2×2 (1)", "2×2 (2)", "2×2 (3)", "4×4")
    assert model_of(finer=(0, 3), layers=(1, 1)).latent_names == ("z", "2×2")


@torch.no_grad()
def test_q_sees_decoder_and_recognition_together() -> None:
    """With hidden units the correction is no sum of what each says alone."""
    features, seen = torch.rand(1, 1, 1, 4).double(), torch.rand(1, 1, 1, 4).double()
    for hidden in (0, 6):
        torch.manual_seed(0)
        level = Level(4, 2, hidden).double()
        for weight in level.parameters():
            weight.normal_()

        def correction(own: Tensor, other: Tensor, level: Level = level) -> Tensor:
            return level.correction(level.gaussians(own)[1] + level.seen(other))

        none = torch.zeros_like(features)
        whole, one, other, neither = (
            correction(*pair) for pair in ((features, seen), (features, none), (none, seen), (none, none))
        )
        assert torch.allclose(whole - one, other - neither) is (hidden == 0)


@torch.no_grad()
def test_shared_passes_chunks_and_order_change_nothing() -> None:
    model = model_of(tied=True)
    x, memory = images(3, (8, 8), 1), model.read(images(4, (8, 8), 2))
    address = torch.tensor([[0, 0, 3], [1, 1, 1], [3, 0, 2]])

    def terms(chunk: int | None = None) -> Tensor:
        log_terms = model.log_terms(x, memory, address, torch.Generator().manual_seed(5), chunk)
        return torch.stack([log_terms.log_px, log_terms.log_pz, log_terms.log_qz, log_terms.kl_z])

    together = terms()
    torch.testing.assert_close(terms(chunk=2), together)
    model.shares_passes = False
    torch.testing.assert_close(terms(), together)


def test_without_a_path_no_gradient_reaches_the_posteriors_through_z() -> None:
    model = model_of()
    x, memory = images(1, (8, 8), 1), model.read(images(2, (8, 8), 2))
    for pathwise in (True, False):
        model.zero_grad()
        noise, address = torch.Generator().manual_seed(3), torch.zeros(1, 2, dtype=torch.long)
        log_terms = model.log_terms(x, memory, address, noise, pathwise=pathwise)
        log_terms.log_px.sum().backward()
        _, level = model.decoder.levels[-1]  # type: ignore[index]
        gradient = level.evidence.weight.grad  # type: ignore[union-attr]
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) is pathwise


@torch.no_grad()
def test_generation_draws_every_level_from_its_prior() -> None:
    model = model_of()
    memory = model.read(images(2, (8, 8)))
    address = torch.tensor([0, 1, 1])
    logits = model.generate(memory, address, torch.Generator().manual_seed(0))
    assert logits.shape == (3, 64)
    torch.testing.assert_close(model.generate(memory, address, torch.Generator().manual_seed(0)), logits)
    assert not torch.allclose(model.generate(memory, address, torch.Generator().manual_seed(1)), logits)


@torch.no_grad()
def test_levels_draw_from_the_gaussians_they_report() -> None:
    P = 2000
    prior = torch.tensor([0.5, -1.0, -0.2, 0.3]).expand(P, 1, 1, 4)  # two means, two log standard deviations
    z = Prior(torch.Generator().manual_seed(0)).draw(prior).view(P, 2)
    torch.testing.assert_close(z.mean(0), torch.tensor([0.5, -1.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor([-0.2, 0.3]).exp(), atol=0.1, rtol=0)
    evidence = torch.tensor([[[[1.0, 2.0, 0.5, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]])
    latents = Posterior([evidence[torch.arange(P) % 2]], torch.zeros(P, 2))
    z = latents.draw(prior, lambda seen: prior + 0.25 + seen).view(P, 2)
    torch.testing.assert_close(z[:2], torch.tensor([[1.75, 1.25], [0.75, -0.75]]))  # the means, with no noise
    entropy_at_mean = -(torch.tensor([0.55 + 0.55, 0.05 + 0.55]) + math.log(2 * math.pi))
    torch.testing.assert_close(latents.log_q[:2], entropy_at_mean)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.blocks=[1]", "an entry for each"),
        ("model.latent_layers=[1,1,2]", "must be 1 where latent_maps is 0"),
        ("model.latent_layers=[2,2]", "latent_layers needs an entry for each of latent_maps, or none"),
        ("model.system=vae", "no residual network"),
        ("model.latent=0", "latent must be"),
    ],
)
def test_configurations_that_cannot_be(setting: str, message: str) -> None:
    config = Config.from_toml('[data]\ndataset = "glyphs"\n[model]\nnetwork = "residual"\n')
    with pytest.raises(VmaError, match=message):
        config.with_overrides([setting])


@torch.no_grad()
def test_without_the_vector_maps_are_the_only_latents() -> None:
    model = model_of(latent=0)
    x, memory = images(2, (8, 8), 1), model.read(images(3, (8, 8), 2))
    log_terms = model.log_terms(x, memory, torch.tensor([[0, 1], [2, 2]]), torch.Generator().manual_seed(3))
    assert model.encode_slots(memory.slots).prior.shape == (3, 0)
    assert bool((log_terms.kl_z > 0).all())
    assert not any(name.startswith(("prior.", "decoder.start", "recognition.head")) for name in model.state_dict())
    assert model.generate(memory, torch.tensor([0, 1])).shape == (2, 64)
