"""Grids of drawings: what is in them, the PNG, and the preview."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from tests import synthetic
from vmacore.addressing import Addressing
from vmacore.config import ModelConfig
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.evaluation.sampling import (
    CANDIDATES,
    FINER_CANDIDATES,
    Grid,
    draw_means,
    sample_grid,
    usual_candidates,
)
from vmacore.latents import Latents
from vmacore.memory.encoded import EncodedMemory, EncodedSlots
from vmacore.models.vma import VariationalMemoryAddressing

CHARACTERS = synthetic.characters([6] * 8)
FLAT = ModelConfig(network="fully-connected", size=(8, 8), layers=(16, 8), latent=2, embedding=6)


def _model(config: ModelConfig = synthetic.MODEL) -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def _grid(model: VariationalMemoryAddressing, **changes: Any) -> Grid:
    arguments = {"characters": CHARACTERS, "classes": 3, "shots": 2, "columns": 4, "seed": 5}
    arguments |= {"temperature": 1.0, "candidates": 1}  # the model
    return sample_grid(model, **{**arguments, **changes})


def _slots(classes: int = 3, shots: int = 2, seed: int = 5) -> Tensor:
    """Memory as the episode has it, class by class."""
    return EpisodeSampler(CHARACTERS, n_way=classes, n_shot=shots, n_target=0, seed=seed).at(0).memory


def test_a_grid() -> None:
    grid = _grid(_model())
    assert grid.slots.shape == (6, 8, 8)
    assert grid.samples.shape == (6, 4, 8, 8)
    assert grid.addresses.tolist() == [0, 1, 2, 3, 4, 5]
    assert 0 <= float(grid.samples.min()) < float(grid.samples.max()) <= 1
    assert len(grid.samples.view(24, -1).unique(dim=0)) == 24
    # Every class before the second drawing of any.
    memory = _slots()[:, 0]
    assert torch.equal(grid.slots, memory[[0, 2, 4, 1, 3, 5]])


def test_fewer_rows_show_a_class_each() -> None:
    grid = _grid(_model(), rows=3, columns=2)
    assert grid.samples.shape == (3, 2, 8, 8)
    assert torch.equal(grid.slots, _slots()[::2, 0])


def test_the_seed_decides() -> None:
    model = _model()
    first, again, other = _grid(model), _grid(model), _grid(model, seed=6)
    assert torch.equal(first.samples, again.samples)
    assert not torch.equal(first.samples, other.samples)
    assert not torch.equal(first.slots, other.slots)


def test_latents_come_from_the_prior_of_the_rows_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()

    # Pixels that tell z: their logits are its four numbers over and over.
    def decode(latents: Latents, encoded: EncodedSlots, slot: Tensor) -> Tensor:
        return latents.draw(encoded.prior[slot]).repeat(1, 16)

    monkeypatch.setattr(model, "decode", decode)
    with torch.no_grad():
        mean, log_scale = model.encode_slots(_slots()[[0, 2, 4, 1, 3, 5]]).prior.chunk(2, 1)
    z = _grid(model, columns=4_000).samples.double().logit().view(6, 4_000, 16, 4)[:, :, 0]
    scale = log_scale.exp().double()
    assert bool(((z.mean(1) - mean).abs() < 4.5 * scale / 4_000**0.5).all())
    assert bool(((z.std(1) / scale - 1).abs() < 4.5 / 8_000**0.5).all())


def test_a_row_is_decoded_from_its_own_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """With latents all alike, the pictures of a row are alike and are those that its slot decodes to."""
    model = _model()
    monkeypatch.setattr(torch, "randn", lambda *shape, **options: torch.zeros(*shape))
    grid = _grid(model)
    with torch.no_grad():
        encoded = model.encode_slots(grid.slots[:, None])
        logits = model.decode(synthetic.Given(encoded.prior[:, :4]), encoded, torch.arange(6))
        expected = logits.sigmoid().view(6, 1, 8, 8)
    torch.testing.assert_close(grid.samples, expected.expand(6, 4, 8, 8))


def test_the_temperature_scales_all_latents() -> None:
    model = _model()
    spread = [float(_grid(model, temperature=t, columns=50).samples.std(1).mean()) for t in (0.0, 0.5, 1.0)]
    assert spread[0] < 1e-6
    assert spread[0] < 0.7 * spread[1] < 0.5 * spread[2]
    with pytest.raises(VmaError, match="the temperature is -1"):
        _grid(model, temperature=-1)


def test_of_several_candidates_the_one_with_most_of_its_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three images with q(a = 1) of 0.9, 0.3 and 0.05, two are drawn: the best is kept, so with 5/9, 3/9 and 1/9."""
    model, q = _model(), torch.tensor([0.9, 0.3, 0.05])
    other_slots = torch.tensor([[0.5, 0.1, 0.2], [0.05, 0.6, 0.3]])

    def generate(memory: EncodedMemory, address: Tensor, generator: torch.Generator, temperature: float) -> Tensor:
        kind = torch.randint(3, address.shape, generator=generator)
        return 8.0 * torch.nn.functional.one_hot(kind, 64) - 4

    def address(targets: Tensor, memory: EncodedMemory) -> Addressing:
        kind = targets.flatten(1).argmax(1)
        assert torch.equal(targets.flatten(1), torch.nn.functional.one_hot(kind, 64).float())
        log_q = torch.stack([other_slots[0], q, other_slots[1]]).T[kind].log()
        return Addressing(log_q, memory.log_prior)

    monkeypatch.setattr(model, "generate", generate)
    monkeypatch.setattr(model, "address", address)
    with torch.no_grad():
        memory = model.read(_slots(3, 1))
    rng = torch.Generator().manual_seed(0)
    kept = draw_means(model, memory, torch.full((9_000,), 1), rng, 1.0, candidates=2).argmax(1)
    assert chisquare(kept.bincount(minlength=3).numpy(), [5_000, 3_000, 1_000]).pvalue > 1e-3
    alone = draw_means(model, memory, torch.full((9_000,), 1), rng, 1.0).argmax(1)
    assert chisquare(alone.bincount(minlength=3).numpy()).pvalue > 1e-3


def test_with_one_slot_in_memory_the_nearest_to_it_is_kept() -> None:
    model = _model()
    with torch.no_grad():
        memory = model.read(_slots(1, 1))
        address, rng = torch.zeros(40, dtype=torch.long), torch.Generator()
        every = draw_means(model, memory, address.repeat_interleave(3), rng.manual_seed(0)).view(40, 3, -1)
        kept = draw_means(model, memory, address, rng.manual_seed(0), candidates=3)
        x = (every > 0.5).float().view(-1, 1, *model.size)
        nearest = (model.queries(x) @ torch.nn.functional.normalize(memory.keys, dim=1).T).view(40, 3).argmax(1)
    assert torch.equal(kept, every[torch.arange(40), nearest])
    assert len(nearest.unique()) == 3


@pytest.mark.parametrize("temperature", [-1, math.nan, math.inf, 101])
def test_temperatures_that_are_none(temperature: float) -> None:
    model = _model()
    with pytest.raises(VmaError, match="choose 0 to 100"), torch.no_grad():
        draw_means(model, model.read(_slots(1, 1)), torch.zeros(1, dtype=torch.long), torch.Generator(), temperature)


def test_candidates_that_validation_chose() -> None:
    model = _model()
    assert usual_candidates(model) == CANDIDATES
    assert torch.equal(
        _grid(model, candidates=CANDIDATES).samples,
        sample_grid(model, CHARACTERS, classes=3, shots=2, columns=4, seed=5).samples,
    )
    finer = ModelConfig(network="residual", size=(8, 8), stages=(4, 6), blocks=(1, 1), latent_maps=(1, 2))
    assert usual_candidates(VariationalMemoryAddressing(finer)) == FINER_CANDIDATES
    vectors = _model(FLAT.model_copy(update={"learned_slots": 5, "slot": 10}))
    assert usual_candidates(vectors) == 1
    drawn = [sample_grid(vectors, None, columns=3, candidates=candidates).samples for candidates in (1, None)]
    assert torch.equal(*drawn)
    with pytest.raises(VmaError, match="choose 1 candidate"):
        sample_grid(vectors, None, columns=3, candidates=4)
    with pytest.raises(VmaError, match="candidates must be at least 1"):
        _grid(model, candidates=0)


def test_pixels_are_means_or_samples() -> None:
    model = _model()
    drawn = _grid(model, pixels="sample", columns=500)
    assert set(drawn.samples.unique().tolist()) == {0.0, 1.0}
    means = _grid(model, pixels="mean", columns=500).samples
    assert not set(means.unique().tolist()) <= {0.0, 1.0}
    # The same latents, so pixels average to the means.
    difference = (drawn.samples - means).mean(1)
    assert float(difference.abs().max()) < 4.5 * 0.5 / 500**0.5


def test_addresses_from_the_prior() -> None:
    model = _model()
    with torch.no_grad():
        model.query_point.mul_(20)  # type: ignore[union-attr]
        slots = _slots()[[0, 2, 4, 1, 3, 5]]
        probability = model.read(slots).log_prior.exp()
    assert float(probability.max() / probability.min()) > 1.5  # uneven enough to tell
    grid = _grid(model, address="prior", rows=6_000, columns=1)
    counts = grid.addresses.bincount(minlength=6).double().numpy()
    expected = (probability / probability.sum()).double().numpy()
    assert chisquare(counts, 6_000 * expected / expected.sum()).pvalue > 1e-3
    assert chisquare(counts).pvalue < 1e-3
    assert torch.equal(grid.slots, slots[grid.addresses][:, 0])


def test_learned_memory_of_images_and_of_vectors() -> None:
    images = _model(synthetic.MODEL.model_copy(update={"learned_slots": 5}))
    grid = sample_grid(images, None, columns=3)
    assert torch.equal(grid.slots, images.learned_memory.slots.detach()[:, 0])  # type: ignore[union-attr]
    vectors = sample_grid(_model(FLAT.model_copy(update={"learned_slots": 5, "slot": 10})), None, columns=3)
    assert vectors.samples.shape == (5, 3, 8, 8)
    assert bool(vectors.slots.isnan().all())
    assert bool(vectors.samples.isfinite().all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 7}, "7 rows asked for, but memory holds 6 slots"),
        ({"rows": 0}, "at least 1"),
        ({"columns": 0}, "at least 1"),
        ({"classes": 0}, "at least 1"),
        ({"shots": 0}, "at least 1"),
        ({"classes": 9}, "9 classes asked for, but the split holds 8"),
        ({"shots": 7}, "7 in memory"),
        ({"address": "posterior"}, "address is shared or prior, not 'posterior'"),
        ({"pixels": "mode"}, "pixels are mean or sample, not 'mode'"),
        ({"characters": None}, "no learned memory: take --memory-from train, validation or test"),
    ],
)
def test_what_cannot_be_drawn(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(VmaError, match=message):
        _grid(_model(), **changes)


def test_a_learned_memory_takes_no_split() -> None:
    with pytest.raises(VmaError, match="take --memory-from learned"):
        _grid(_model(FLAT.model_copy(update={"learned_slots": 5, "slot": 10})))


def test_images_of_another_size() -> None:
    with pytest.raises(VmaError, match="images are 8×8"):
        _grid(_model(FLAT.model_copy(update={"size": (9, 9)})))


@pytest.mark.parametrize("candidates", [1, 4])
def test_a_model_that_diverged_is_told(candidates: int) -> None:
    model = _model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e20)
    with pytest.raises(VmaError, match="not finite, as after a training that diverged: take another checkpoint"):
        _grid(model, candidates=candidates)
