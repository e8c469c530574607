"""Residual networks on patches: shapes, starts, and the same in any order of memory."""

import pytest
import torch

from vmacore.networks import patches, residual
from vmacore.networks.layers import initialise


@pytest.mark.parametrize("size", [(26, 26), (28, 28), (8, 8), (7, 5)])
def test_patches_and_back(size: tuple[int, int]) -> None:
    images = torch.rand(3, 2, *size)
    cut = patches.patches(images)
    assert cut.shape == (3, (size[0] + 1) // 2, (size[1] + 1) // 2, 8)
    # The same numbers come back in blocks of channels: 2×2 places of each of the two maps.
    assert torch.equal(patches.unpatched(cut, size), images)


def test_patches_keep_neighbours_together() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert patches.patches(image)[0, 0, 1].tolist() == [2, 3, 6, 7]


@pytest.mark.parametrize("size", [(26, 26), (8, 8), (7, 5)])
def test_every_stage_halves(size: tuple[int, int]) -> None:
    stages, blocks = (4, 6, 8), (1, 0, 2)
    slot_encoder = residual.SlotEncoder(size, stages, blocks)
    maps = slot_encoder(torch.rand(2, 1, *size))
    assert [tuple(m.shape[2:]) for m in maps] == patches.sizes_of(size, 3)
    assert [m.shape[1] for m in maps] == list(stages)
    assert slot_encoder.top(maps).shape == (2, slot_encoder.out_features)


def test_blocks_start_as_identities() -> None:
    block = patches.Block(3)
    initialise(block)
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(block(x), x)
    assert block.first.weight.abs().sum() > 0


def test_recognition_is_a_network_over_both_images_as_channels() -> None:
    """The two parts of the first layer are one convolution of the concatenation of the patches."""
    torch.manual_seed(0)
    options = residual.Options(size=(8, 8), stages=(4, 6), blocks=(1, 1), latent_maps=(0, 0), hidden=16, latent=3)
    recognition = residual.Recognition(options).double()
    targets, slots = torch.rand(2, 1, 8, 8).double(), torch.rand(3, 1, 8, 8).double()
    target, slot = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 2])
    _, *maps = recognition(targets, recognition.slot_side(slots), target, slot)
    both = torch.cat([patches.patches(targets)[target], patches.patches(slots)[slot]], 3)
    weight = torch.cat([recognition.target.weight, recognition.slot.weight], 1)
    first = torch.nn.functional.conv2d(both.permute(0, 3, 1, 2), weight, recognition.target.bias, padding=1)
    torch.testing.assert_close(maps[0], recognition.trunk.stages[0](first))
    assert [m.shape[1] for m in maps] == [4, 6]


def test_heads_are_exact_under_autocast() -> None:
    head = patches.Head(8, 16, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.rand(2, 8)).dtype == torch.float32


def test_normalised_blocks_ignore_the_scale_and_mean_of_the_channels() -> None:
    torch.manual_seed(0)
    block = patches.Block(6, normalised=True).double()
    x = torch.randn(2, 6, 4, 4).double()
    added = block(x) - x
    assert float(added.detach().abs().max()) > 0
    torch.testing.assert_close(block(5 * x + 3) - (5 * x + 3), added, atol=1e-3, rtol=0)
