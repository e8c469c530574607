"""The convolutional and the fully connected networks: sizes, and what each depends on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vmacore.latents import Prior
from vmacore.networks import convolutional, fully_connected
from vmacore.networks.layers import initialise, rows

CHANNELS = (3, 4, 5, 6, 7, 8)
SIZES = [(26, 26), (28, 28), (8, 8), (7, 7), (9, 6), (1, 1)]


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(26, [26, 13, 13, 7, 7, 4]), (28, [28, 14, 14, 7, 7, 4]), (8, [8, 4, 4, 2, 2, 1]), (1, [1, 1, 1, 1, 1, 1])],
)
def test_the_pyramid_halves_every_second_layer(size: int, expected: list[int]) -> None:
    assert convolutional.sizes_of((size, size), 6) == [(side, side) for side in expected]
    maps = convolutional.Pyramid((size, size), CHANNELS)(_random(2, 1, size, size))
    assert [tuple(layer.shape) for layer in maps] == [
        (2, channels, side, side) for channels, side in zip(CHANNELS, expected, strict=True)
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_the_decoder_mirrors_the_pyramid(size: tuple[int, int], layers: int) -> None:
    channels = CHANNELS[:layers]
    slot_encoder = convolutional.SlotEncoder(size, channels)
    decoder = convolutional.Decoder(size, channels, 10, 5, slot_encoder.out_features)
    maps = slot_encoder(_random(3, 1, *size))
    top = slot_encoder.top(maps)
    assert top.shape == (3, slot_encoder.out_features)
    memory = decoder.slot_side(top, maps)
    assert decoder(_random(4, 5), memory, torch.tensor([0, 2, 2, 1]), Prior()).shape == (4, 1, *size)


@pytest.mark.parametrize("layers", [(16,), (16, 12), (16, 12, 10)])
def test_the_fully_connected_decoder(layers: tuple[int, ...]) -> None:
    slot_encoder = fully_connected.SlotEncoder(20, layers)
    decoder = fully_connected.Decoder(64, 20, layers, 5)
    maps = slot_encoder(_random(3, 20))
    assert [layer.shape[1] for layer in maps] == [20, *layers]
    memory = decoder.slot_side(slot_encoder.top(maps), maps)
    assert decoder(_random(4, 5), memory, torch.tensor([0, 2, 2, 1]), Prior()).shape == (4, 64)


def _decoders() -> list[tuple[nn.Module, nn.Module, Tensor]]:
    slot_encoder = convolutional.SlotEncoder((8, 8), CHANNELS)
    decoder = convolutional.Decoder((8, 8), CHANNELS, 10, 5, slot_encoder.out_features)
    flat_slot_encoder = fully_connected.SlotEncoder(64, (16, 12))
    flat_decoder = fully_connected.Decoder(64, 64, (16, 12), 5)
    pairs = [(slot_encoder, decoder), (flat_slot_encoder, flat_decoder)]
    for network in (part for pair in pairs for part in pair):
        initialise(network)
    return [(*pair, _random(3, 1, 8, 8)) for pair in pairs]


@pytest.mark.parametrize("which", [0, 1], ids=["convolutional", "fully connected"])
def test_every_map_of_the_slot_reaches_the_pixels(which: int) -> None:
    """Skip connections into every resolution: pixels have a gradient with respect to each map, and to z."""
    torch.manual_seed(0)
    slot_encoder, decoder, slots = _decoders()[which]
    maps = [layer.detach().requires_grad_() for layer in slot_encoder(slots)]
    top = slot_encoder.top([layer.detach() for layer in maps]).requires_grad_()  # type: ignore[operator]
    z = _random(3, 5).requires_grad_()
    pixels = decoder(z, decoder.slot_side(top, maps), torch.arange(3), Prior())  # type: ignore[operator]
    # The last fully connected map reaches the pixels as `top` alone.
    inputs = [z, top, *(maps if which == 0 else maps[:-1])]
    for gradient in torch.autograd.grad(pixels.square().sum(), inputs):
        assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize("which", [0, 1], ids=["convolutional", "fully connected"])
def test_pixels_depend_on_their_own_latent_and_slot_alone(which: int) -> None:
    torch.manual_seed(0)
    slot_encoder, decoder, slots = _decoders()[which]
    z, slot = _random(4, 5), torch.tensor([0, 2, 2, 1])
    maps = slot_encoder(slots)
    pixels = decoder(z, decoder.slot_side(slot_encoder.top(maps), maps), slot, Prior())  # type: ignore[operator]
    for row in range(4):
        one = slot_encoder(slots[slot[row] : slot[row] + 1])
        memory = decoder.slot_side(slot_encoder.top(one), one)  # type: ignore[operator]
        alone = decoder(z[row : row + 1], memory, torch.tensor([0]), Prior())
        torch.testing.assert_close(alone[0], pixels[row], rtol=1e-4, atol=1e-5)


def test_recognition_sees_the_target_and_the_slot_as_two_channels() -> None:
    torch.manual_seed(0)
    network = convolutional.Recognition((8, 8), CHANNELS, 10, 5)
    x, m = _random(3, 1, 8, 8), _random(4, 1, 8, 8, seed=1)
    target, slot = torch.tensor([0, 1, 2, 2, 0]), torch.tensor([3, 0, 0, 1, 2])
    pairs = torch.cat([x[target], m[slot]], 1)
    top = network.pyramid(network.first(pairs).relu())[-1]
    expected = network.head(top.permute(0, 2, 3, 1).flatten(1))
    (found,) = network(x, network.slot_side(m), target, slot)
    assert found.shape == (5, 10)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_fully_connected_recognition_sees_the_concatenation() -> None:
    torch.manual_seed(0)
    network = fully_connected.Recognition(64, 10, (16, 12), 5)
    x, m = _random(3, 1, 8, 8), _random(4, 10, seed=1)
    target, slot = torch.tensor([0, 1, 2, 2, 0]), torch.tensor([3, 0, 0, 1, 2])
    expected = network.rest(network.first(torch.cat([rows(x.flatten(1), target), m[slot]], 1)).relu())
    (found,) = network(x, network.slot_side(m), target, slot)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_embeddings() -> None:
    torch.manual_seed(0)
    images = _random(3, 1, 8, 8)
    network = convolutional.Embedding((8, 8), CHANNELS, 10, 7)
    expected = network.head(network.pyramid(images)[-1].permute(0, 2, 3, 1).flatten(1))
    torch.testing.assert_close(network(images), expected)
    assert expected.shape == (3, 7)
    flat = fully_connected.Embedding(64, (16, 12), 7)
    torch.testing.assert_close(flat(images), flat.network(images.view(3, 64)))
    assert flat(images).shape == (3, 7)
