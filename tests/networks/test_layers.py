"""Layers that split work must compute what the plain layers compute, gradients and memory format included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.networks.layers import (
    MLP,
    ConcatConv2d,
    ConcatConvTranspose2d,
    ConcatLinear,
    add_rows_,
    channels_last,
    initialise,
    nhwc_flat,
    nhwc_unflat,
    one_map_conv,
    relu_of_taps,
    rows,
    taps,
    upscaled_to_one_map,
)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _agree(ours: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Values, and gradients with respect to every input, are the same."""
    results = []
    for function in (ours, plain):
        fresh = [tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_() for tensor in inputs]
        value = function(*fresh)
        weight = _random(*value.shape, seed=9)
        results.append([value, *torch.autograd.grad((value * weight).sum(), fresh)])
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other)


LAYERS = {
    "linear": (lambda: ConcatLinear(3, 5, 4), (2, 3), (2, 5)),
    "convolution": (lambda: ConcatConv2d(3, 5, 4), (2, 3, 7, 6), (2, 5, 7, 6)),
    "convolution onto one map": (lambda: ConcatConv2d(3, 5, 1), (2, 3, 7, 6), (2, 5, 7, 6)),
    "transposed, even": (lambda: ConcatConvTranspose2d(3, 5, 4, (1, 1)), (2, 3, 7, 6), (2, 5, 7, 6)),
    "transposed, odd and even": (lambda: ConcatConvTranspose2d(3, 5, 4, (0, 1)), (2, 3, 7, 6), (2, 5, 7, 6)),
}


@pytest.mark.parametrize(("make", "left", "right"), LAYERS.values(), ids=LAYERS.keys())
def test_the_two_sides_add_up_to_the_layer_on_the_concatenation(
    make: Callable[[], nn.Module], left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layer = make().double()
    u, v = _random(*left), _random(*right, seed=1)
    bias = layer.bias
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        bias.copy_(_random(*bias.shape, seed=2))

    def split(u: Tensor, v: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(_Sides(layer), {"layer.weight": weight, "layer.bias": bias}, (u, v))

    def plain(u: Tensor, v: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        whole = torch.cat([u, v], 1)
        if isinstance(layer, ConcatConvTranspose2d):
            return F.conv_transpose2d(whole, weight, bias, stride=2, padding=1, output_padding=layer.output_padding)
        return F.conv2d(whole, weight, bias, padding=1) if weight.dim() == 4 else F.linear(whole, weight, bias)

    _agree(split, plain, [u, v, layer.weight, bias])  # type: ignore[list-item]
    # The module called as what it inherits from is the plain layer too.
    torch.testing.assert_close(layer(torch.cat([u, v], 1)), plain(u, v, layer.weight, bias))  # type: ignore[arg-type]


class _Sides(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        return self.layer.left(u) + self.layer.right(v)  # type: ignore[operator]


@pytest.mark.parametrize("shape", [(2, 5, 7, 6), (1, 1, 1, 1), (3, 4, 2, 1), (2, 48, 26, 26)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolution_onto_one_map(shape: tuple[int, ...], memory_format: torch.memory_format) -> None:
    x = _random(*shape).contiguous(memory_format=memory_format)
    weight = _random(1, shape[1], 3, 3, seed=1)
    _agree(one_map_conv, lambda x, weight: F.conv2d(x, weight, padding=1), [x, weight])


@pytest.mark.parametrize("channels", [1, 2])
def test_convolution_of_what_it_sees(channels: int) -> None:
    convolution = nn.Conv2d(channels, 5, 3, padding=1).double()
    images = _random(2, channels, 7, 6)

    def ours(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        seen = [
            taps(one, constant=last) for last, one in zip([False, True][-channels:], images.split(1, 1), strict=True)
        ]
        layer = _Call(convolution)
        return torch.func.functional_call(
            layer, {"convolution.weight": weight, "convolution.bias": bias}, (torch.cat(seen, 3),)
        )

    def plain(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(images, weight, bias, padding=1).relu()

    assert convolution.bias is not None
    _agree(ours, plain, [images, convolution.weight, convolution.bias])


class _Call(nn.Module):
    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, seen: Tensor) -> Tensor:
        return relu_of_taps(seen, self.convolution)


INDEX = torch.tensor([2, 0, 2, 2, 1])


RUNS = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2])


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5, 6)])
@pytest.mark.parametrize("index", [INDEX, RUNS, None], ids=["mixed", "in runs", "none"])
def test_rows_are_added_in_place(shape: tuple[int, ...], index: Tensor | None) -> None:
    features = channels_last(_random(*shape)) if len(shape) == 4 else _random(*shape)
    expected = features if index is None else features[index]
    x = _random(*expected.shape, seed=1)
    with torch.no_grad():
        found = x.clone()
        assert add_rows_(found, features, index) is found
    torch.testing.assert_close(found, x + expected)
    _agree(lambda x, m: add_rows_(x * 1, m, index), lambda x, m: x + (m if index is None else m[index]), [x, features])


@pytest.mark.parametrize("index", [INDEX, RUNS, None], ids=["mixed", "in runs", "none"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (13, 13)])
def test_upscaled_to_one_map(index: Tensor | None, size: tuple[int, int]) -> None:
    h, w = size
    count = 3 if index is None else len(index)
    x, weight = channels_last(_random(count, 6, h, w)), _random(6, 4, 3, 3, seed=1)
    skip, last = channels_last(_random(3, 4, 2 * h, 2 * w, seed=2)), _random(1, 4, 3, 3, seed=3)
    maps = F.conv_transpose2d(x, weight, stride=2, padding=1, output_padding=1) + rows(skip, index)
    expected = F.conv2d(maps.relu(), last, padding=1)
    torch.testing.assert_close(upscaled_to_one_map(x, weight, skip, index, last), expected)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 6)])
def test_rows(shape: tuple[int, ...]) -> None:
    _agree(lambda features: rows(features, INDEX), lambda features: features[INDEX], [_random(*shape)])


def test_rows_of_images_keep_their_memory_format_in_both_directions() -> None:
    features = _random(3, 4, 5, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    gathered = rows(features, INDEX)
    assert gathered.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(gathered.square().sum(), features)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    _agree(lambda features: rows(features, INDEX), lambda features: features[INDEX], [features])


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last(channels: int) -> None:
    images = _random(2, channels, 5, 6)
    changed = channels_last(images)
    assert torch.equal(changed, images)
    assert changed.stride() == (channels * 30, 1, 6 * channels, channels)
    convolution = nn.Conv2d(channels, 4, 3).double()
    assert convolution(changed).is_contiguous(memory_format=torch.channels_last)
    # Also of images that lie in memory in another order, or that skip some of it.
    for other in (images.transpose(2, 3), images[:, :, ::2], _random(4, channels, 5, 6)[::2]):
        torch.testing.assert_close(channels_last(other), other)
    _agree(lambda x: channels_last(x).square(), lambda x: x.square(), [images])


def test_channels_last_of_one_channel_does_not_copy() -> None:
    images = _random(2, 1, 5, 6)
    assert channels_last(images).data_ptr() == images.data_ptr()


def test_flattening_and_back() -> None:
    features = _random(2, 4, 5, 6)
    flat = nhwc_flat(features)
    assert flat[1, (3 * 6 + 2) * 4 + 1] == features[1, 1, 3, 2]
    back = nhwc_unflat(flat, 4, 5, 6)
    assert torch.equal(back, features)
    assert back.is_contiguous(memory_format=torch.channels_last)
    assert back.data_ptr() == flat.data_ptr()
    assert nhwc_flat(back).data_ptr() == flat.data_ptr()


def test_mlp_has_a_relu_between_layers_and_none_after_the_last() -> None:
    torch.manual_seed(0)
    network = MLP(3, 7, 6, 5).double()
    x = _random(4, 3)
    first, second, third = (layer for layer in network if isinstance(layer, nn.Linear))
    torch.testing.assert_close(network(x), third(second(first(x).relu()).relu()))
    assert float(network(x).detach().min()) < 0
    assert len(MLP(3, 5)) == 1


def test_initialisation_keeps_the_signal_and_spares_the_outputs() -> None:
    torch.manual_seed(0)
    network = nn.ModuleList(
        [MLP(300, 200, 100), nn.Conv2d(50, 40, 3), ConcatConvTranspose2d(30, 30, 40, (1, 1)), nn.Conv2d(50, 40, 3)]
    )
    mlp, convolution, transposed, output = network
    hidden, last = mlp[0], mlp[2]  # type: ignore[index]
    output.is_output = True  # type: ignore[assignment]
    before = [layer.weight.clone() for layer in (last, output)]
    initialise(network)
    for layer, fan_in in ((hidden, 300), (convolution, 450), (transposed, 60 * 9 / 4)):
        assert float(layer.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
        assert bool((layer.bias == 0).all())
    for layer, weight in zip((last, output), before, strict=True):
        assert torch.equal(layer.weight, weight)


def test_initialised_transposed_convolutions_keep_the_second_moment() -> None:
    torch.manual_seed(0)
    network = nn.ModuleList([ConcatConvTranspose2d(60, 60, 120, (1, 1))])
    initialise(network)
    x = torch.randn(4, 120, 12, 12).relu()
    with torch.no_grad():
        y = network[0](x).relu()[:, :, 1:-1, 1:-1]
    assert float((y**2).mean() / (x**2).mean()) == pytest.approx(1.0, abs=0.15)
