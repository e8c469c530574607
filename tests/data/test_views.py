"""The finer view: pixels are a function of it, h and h_q see it, and bounds stay bounds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vmacore.config import ModelConfig, load_recipe
from vmacore.data import load_dataset
from vmacore.data.characters import Characters
from vmacore.data.sets import glyphs
from vmacore.data.views import finer_of, pixels_of
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError
from vmacore.evaluation.classification import Classifier
from vmacore.evaluation.likelihood import score
from vmacore.models.vma import VariationalMemoryAddressing

RESIDUAL = {"network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (1, 1), "embedding": 4}
SIZES = {"classes": 4, "shots": 2, "samples": 2, "episodes": 2}


def model_of(size: tuple[int, int], **fields: object) -> VariationalMemoryAddressing:
    torch.manual_seed(1)
    config = ModelConfig.model_validate({**RESIDUAL, "size": size, "latent": 1, "hidden": 8, **fields})
    model = VariationalMemoryAddressing(config).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.requires_grad_(False)


def shaded(pixels: Tensor, seed: int = 0) -> Tensor:
    """A finer view of pixels [N, 1, H, W]: quarters at random, some in every pixel of ink, none elsewhere."""
    rng = torch.Generator().manual_seed(seed)
    N, _, H, W = pixels.shape
    shades = torch.randint(1, 5, (N, 1, 2 * H, 2 * W), generator=rng) / 4
    lit = torch.randint(0, 4, (N, 1, H, W), generator=rng)  # the one of four that surely has ink
    corner = torch.nn.functional.one_hot(lit, 4).view(N, 1, H, W, 2, 2).transpose(3, 4).reshape(N, 1, 2 * H, 2 * W)
    any_ink = corner.bool() | (torch.rand(shades.shape, generator=rng) < 0.5)
    ink = pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return (shades * any_ink).to(pixels.dtype) * ink


EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).double().view(64, 1, 2, 3)


def test_pixels_are_ink_where_the_finer_view_has_some() -> None:
    assert torch.equal(pixels_of(shaded(EVERY)), EVERY)
    one = torch.zeros(1, 1, 4, 6)
    one[0, 0, 3, 2] = 0.25
    assert pixels_of(one).nonzero().tolist() == [[0, 0, 1, 1]]


def test_glyphs_in_the_finer_view_are_the_same_drawings() -> None:
    pixels, finer = glyphs.make_alphabets(2, seed=3), glyphs.make_alphabets(2, seed=3, finer=True)
    assert torch.equal(pixels_of(finer.images[:, None] / 4)[:, 0].byte(), pixels.images)
    assert (finer.size, finer.view, finer.levels, finer.classes) == ((26, 26), "finer", 4, pixels.classes)
    assert finer.select([1, 0]).view == "finer"
    assert finer.binarised(0) is finer


@pytest.mark.parametrize("seed", [0, 1])
def test_probabilities_of_all_images_sum_to_one_whatever_shades_q_sees(seed: int) -> None:
    model = model_of((2, 3), view="finer")
    slots, noise = shaded(EVERY[[5, 22, 43]]), torch.Generator().manual_seed(2)
    targets = shaded(EVERY, seed)
    memory = model.read(slots)
    addressing = model.address(targets, memory)
    address = addressing.draw(3000, noise)
    weights = (model.log_terms(targets, memory, address, noise).log_weight + addressing.log_weight(address)).exp()
    total, error = float(weights.mean(1).sum()), float(weights.var(1).sum().div(3000).sqrt())
    assert error < 0.02
    assert abs(total - 1) < 3.5 * error


def test_only_addresses_see_the_finer_view() -> None:
    model = model_of((6, 6), view="finer")
    x = (torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    address = torch.tensor([[0], [1], [2]])
    terms, keys = [], []
    for seed in (0, 1):
        memory = model.read(shaded(x, seed))
        assert torch.equal(memory.slots, x)
        noise = torch.Generator().manual_seed(0)
        terms.append(model.log_terms(shaded(x, seed + 2), memory, address, noise).log_weight)
        keys.append(memory.keys)
        with pytest.raises(ValueError, match="but the model reads"):
            model.read(x)
    assert torch.equal(*terms)
    assert not torch.allclose(*keys)


def test_a_model_is_scored_and_classifies_in_its_view() -> None:
    finer, pixels = (glyphs.make_alphabets(1, finer=view) for view in (True, False))
    model = model_of((26, 26), view="finer").float()
    assert score(model, finer, **SIZES).nll > 0
    classifier = Classifier(model, finer)
    plain = Classifier(model_of((26, 26)).float(), pixels)
    assert torch.equal(classifier.pixels, plain.pixels)
    task = {"way": 5, "shot": 1, "episodes": 3}
    assert classifier.measure(**task)[0].pixel_accuracy == plain.measure(**task)[0].pixel_accuracy
    with pytest.raises(VmaError, match="view='finer'"):
        score(model, pixels, **SIZES)


def test_episodes_show_shades_as_parts_of_one() -> None:
    characters = Characters(torch.tensor([[[0, 1], [2, 4]]] * 2).byte(), torch.zeros(2).long(), ("c",), 4, finer=True)
    episode = EpisodeSampler(characters, n_way=1, n_shot=1, n_target=1, seed=0).at(0)
    assert episode.targets.tolist() == [[[[0, 0.25], [0.5, 1]]]]


def test_refusals(tmp_path: Path) -> None:
    having = "all-symbols, glyphs, omniglot, omniglot-oneshot, printed, shapes"
    with pytest.raises(VmaError, match=rf"that has it \({having}\)"):
        load_dataset("digits", view="finer")
    with pytest.raises(VmaError, match="convolutional networks see pixels alone"):
        VariationalMemoryAddressing(ModelConfig(view="finer"))
    with pytest.raises(VmaError, match=r"leave model\.view out"):
        load_recipe("omniglot-vae").with_overrides(["model.view=finer"])
    with pytest.raises(VmaError, match="is not in"):
        load_dataset("omniglot", view="finer", data_dir=tmp_path)


def test_pixels_and_the_finer_view_made_of_them() -> None:
    pixels = torch.rand(5, 1, 8, 6, generator=torch.Generator().manual_seed(0)).round()
    assert finer_of(pixels).shape == (5, 1, 16, 12)
    assert torch.equal(pixels_of(finer_of(pixels)), pixels)
