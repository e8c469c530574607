"""Layers that make the structure of the model cheap without changing the function computed.

Three facts are used throughout. A linear map of a concatenation is a sum of linear maps, so the part that sees memory
alone runs once a slot. What depends on a slot alone is gathered by address. Convolutions on CPU are fast only while
every tensor stays in channels_last, gathers included.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)
M = TypeVar("M")


class Shared(Protocol):
    """A layer of a concatenation [u, v], applied as two layers whose results are added; v is a slot's."""

    def left(self, u: Tensor) -> Tensor: ...

    def right(self, v: Tensor) -> Tensor: ...


if TYPE_CHECKING:

    class Modules(nn.Module, Generic[M]):
        """A list of modules whose kind is known."""

        def __init__(self, modules: Any) -> None: ...
        def __iter__(self) -> Iterator[M]: ...
        def __len__(self) -> int: ...
        def __getitem__(self, index: int) -> M: ...
else:
    Modules = nn.ModuleList


def output(layer: Layer) -> Layer:
    """A layer that no ReLU follows: `initialise` leaves it torch's own, smaller weights."""
    vars(layer)["is_output"] = True
    return layer


def zero(layer: Layer) -> Layer:
    """A layer that `initialise` sets to zero."""
    vars(layer)["starts_at_zero"] = True
    return layer


def rows(features: Tensor, index: Tensor | None) -> Tensor:
    """features[index] for features [S, …] and index [P], as [P, …] in the memory format of `features`; None: as it is.

    Images [S, C, H, W] are gathered on their NHWC view: indexing the NCHW view would return NCHW, and every convolution
    after it would be several times slower in its backward pass.
    """
    if index is None:
        return features
    if features.dim() != 4:
        return features.index_select(0, index)
    return features.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)


def add_rows_(x: Tensor, features: Tensor, index: Tensor | None) -> Tensor:
    """x + features[index], written into x [P, …] and returned, for features [S, …] and index [P]; None: as `rows`."""
    if index is not None and x.device.type == "cpu" and not torch.is_grad_enabled():
        kept, counts = index.unique_consecutive(return_counts=True)
        if 4 * len(kept) <= len(index):
            # Where neighbours read the same row, adding it to each run of them spares the gathered copy.
            for part, row in zip(x.split(counts.tolist()), kept.tolist(), strict=True):
                part.add_(features[row])
            return x
    return x.add_(rows(features, index))


def mixed(features: Tensor, weights: Tensor) -> Tensor:
    """Σ_s weights[p, s] features[s] for features [S, …] and weights [P, S], as [P, …]; images in channels_last."""
    if features.dim() != 4:
        return weights @ features
    C, H, W = features.shape[1:]
    return nhwc_unflat(weights @ nhwc_flat(features), C, H, W)


class ConcatLinear(nn.Linear):
    """Linear map of a concatenation [u, v], applied as two maps whose results are added."""

    def __init__(self, left: int, right: int, out_features: int) -> None:
        super().__init__(left + right, out_features)
        self.split = left

    def left(self, u: Tensor) -> Tensor:
        """u [N, left] → [N, out], without the bias."""
        return F.linear(u, self.weight[:, : self.split])

    def right(self, v: Tensor) -> Tensor:
        """v [N, right] → [N, out], with the bias."""
        return F.linear(v, self.weight[:, self.split :], self.bias)


class ConcatConv2d(nn.Conv2d):
    """3×3 convolution of channels [u, v], applied as two convolutions whose results are added."""

    def __init__(self, left: int, right: int, out_channels: int) -> None:
        super().__init__(left + right, out_channels, 3, padding=1)
        self.split = left

    def left(self, u: Tensor) -> Tensor:
        """u [N, left, H, W] → [N, out, H, W], without the bias."""
        weight = self.weight[:, : self.split]
        return one_map_conv(u, weight) if len(weight) == 1 else F.conv2d(u, weight, padding=1)

    def right(self, v: Tensor) -> Tensor:
        """v [N, right, H, W] → [N, out, H, W], with the bias."""
        weight = self.weight[:, self.split :]
        if len(weight) == 1:
            maps = one_map_conv(v, weight)
            return maps if self.bias is None else maps + self.bias
        return F.conv2d(v, weight, self.bias, padding=1)


class ConcatConvTranspose2d(nn.ConvTranspose2d):
    """3×3 transposed convolution of stride 2 of channels [u, v], applied as two whose results are added."""

    def __init__(self, left: int, right: int, out_channels: int, output_padding: tuple[int, int]) -> None:
        super().__init__(left + right, out_channels, 3, stride=2, padding=1, output_padding=output_padding)
        self.split = left
        self.more = output_padding

    def left(self, u: Tensor) -> Tensor:
        """u [N, left, H, W] → [N, out, H', W'], without the bias."""
        return F.conv_transpose2d(u, self.weight[: self.split], None, 2, 1, self.more)

    def right(self, v: Tensor) -> Tensor:
        """v [N, right, H, W] → [N, out, H', W'], with the bias."""
        return F.conv_transpose2d(v, self.weight[self.split :], self.bias, 2, 1, self.more)


def taps(images: Tensor, constant: bool = True) -> Tensor:
    """What a 3×3 convolution with padding 1 sees of images [N, 1, H, W] at each pixel: [N, H, W, 9], or 10 with a 1."""
    H, W = images.shape[2:]
    padded = F.pad(images[:, 0], (1, 1, 1, 1))
    seen = [padded[:, u : u + H, v : v + W] for u in range(3) for v in range(3)]
    return torch.stack([*seen, torch.ones_like(seen[0])] if constant else seen, 3)


def relu_of_taps(seen: Tensor, convolution: nn.Conv2d) -> Tensor:
    """ReLU of a 3×3 convolution with padding 1, of what it sees, 9C `taps` and a 1 [N, H, W, 9C + 1] → [N, O, H, W].

    A convolution of one or two channels leaves matrix units idle: as a matrix product it is several times faster. The
    bias is one more row of the matrix and its input is 1, which saves a pass over the maps each way.
    """
    weight, bias = convolution.weight, convolution.bias
    assert bias is not None
    matrix = torch.cat([weight.flatten(1), bias[:, None]], 1).T
    # In place while it is no view yet: autograd would copy the gradient of a view changed in place, into NCHW.
    maps = F.relu_(seen.flatten(0, 2) @ matrix)
    return maps.view(*seen.shape[:3], -1).permute(0, 3, 1, 2)


class _OneMapConv(torch.autograd.Function):
    """Nine planes of products, one a tap, are shifted and added; backward gathers the same shifts of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        N, C, H, W = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, C)  # no copy where x is channels_last
        ctx.save_for_backward(pixels, weight)
        products = (weight.view(C, 9).T @ pixels.T).view(9, N, H, W)
        out = x.new_zeros(N, H + 2, W + 2)
        for tap, product in enumerate(products):
            down, right = 2 - tap // 3, 2 - tap % 3  # the convolution at q − t + 1 reads tap t at q
            out[:, down : down + H, right : right + W] += product
        return out[:, 1:-1, 1:-1].unsqueeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        pixels, weight = (saved.to(gradient.dtype) for saved in ctx.saved_tensors)  # autocast tells them apart
        N, _, H, W = gradient.shape
        C = pixels.shape[1]
        padded = F.pad(gradient[:, 0], (1, 1, 1, 1))
        shifted = [padded[:, 2 - u : 2 - u + H, 2 - v : 2 - v + W] for u in range(3) for v in range(3)]
        products = torch.stack(shifted).view(9, -1)
        to_x = (products.T @ weight.view(C, 9).T).view(N, H, W, C).permute(0, 3, 1, 2)
        return to_x, (products @ pixels).T.reshape(1, C, 3, 3)


def one_map_conv(x: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution with padding 1 of x [N, C, H, W] by weight [1, C, 3, 3] → [N, 1, H, W].

    A convolution onto one map leaves matrix units idle, in backward most of all. As one matrix product for the nine
    taps and a sum of shifted maps it is several times as fast: the columns of the product are the pixels of the NHWC
    view.
    """
    return _OneMapConv.apply(x, weight)


def upscaled_to_one_map(x: Tensor, weight: Tensor, skip: Tensor, index: Tensor | None, last: Tensor) -> Tensor:
    """one_map_conv(relu(y), last) for y = conv_transpose2d(x, weight, stride 2) + skip[index]; no gradient.

    x [N, C, h, w], weight [C, D, 3, 3], skip [S, D, 2h, 2w], last [1, D, 3, 3] → [N, 1, 2h, 2w]. The pixels of each
    parity of row and column are a small convolution of x by the taps that reach them, and what the last layer makes of
    them is nine planes: so the D full-resolution maps, most of the time of decoding, are never put together.
    """
    N, _, h, w = x.shape
    D = weight.shape[1]
    out = skip.new_zeros(N, 2 * h + 2, 2 * w + 2)  # not in the type of x, which may be shorter under autocast
    for row in (0, 1):
        for column in (0, 1):
            # Even rows see tap 1 of row i; odd rows tap 2 of row i and tap 0 of row i + 1, which may be padding.
            taps = weight[:, :, 1 - row :: 1 + row, 1 - column :: 1 + column][:, :, : 1 + row, : 1 + column]
            kernel = channels_last(taps.flip(2, 3).transpose(0, 1))
            maps = F.conv2d(x, kernel, padding=(row, column))  # with one row and column too many before where padded
            add_rows_(maps[:, :, row:, column:], skip[:, :, row::2, column::2], index)
            pixels = F.relu_(maps).permute(0, 2, 3, 1).reshape(-1, D)
            planes = (last.view(D, 9).T @ pixels.T).view(9, N, h + row, w + column)[:, :, row:, column:]
            for tap, plane in enumerate(planes):
                down, right = 2 - tap // 3 + row, 2 - tap % 3 + column  # as in `_OneMapConv`
                out[:, down : down + 2 * h : 2, right : right + 2 * w : 2] += plane
    return out[:, 1:-1, 1:-1].unsqueeze(1)


class MLP(nn.Sequential):
    """Linear layers with ReLU between them, none after the last."""

    def __init__(self, *sizes: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        super().__init__(*layers[:-1])


def initialise(network: nn.Module) -> None:
    """He initialisation of every layer that a ReLU follows; the last layers of a network keep torch's smaller weights.

    With torch's own in every layer the signal shrinks through the pyramids, and the address posterior learns late.
    """
    for layer in network.modules():
        if isinstance(layer, MLP):
            output(layer[-1])
    for layer in network.modules():
        if getattr(layer, "is_output", False) or not isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            continue
        if getattr(layer, "starts_at_zero", False):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            continue
        fan_in: float = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):  # each output pixel sees kernel / stride² of the taps
            fan_in = layer.weight[:, 0].numel() / 4
        nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def nhwc_flat(features: Tensor) -> Tensor:
    """[N, C, H, W] → [N, H·W·C]; no copy where the tensor is channels_last."""
    return features.permute(0, 2, 3, 1).flatten(1)


def nhwc_unflat(flat: Tensor, channels: int, height: int, width: int) -> Tensor:
    """[N, H·W·C] → [N, C, H, W] in channels_last; no copy."""
    return flat.view(len(flat), height, width, channels).permute(0, 3, 1, 2)


def channels_last(images: Tensor) -> Tensor:
    """Images [N, C, H, W] in channels_last. One channel fits both formats, and torch must be told which is meant."""
    if images.shape[1] == 1:
        N, C, H, W = images.shape
        return images.contiguous().as_strided((N, C, H, W), (H * W * C, 1, W * C, C))
    return images.contiguous(memory_format=torch.channels_last)
