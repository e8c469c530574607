"""Layers that make the structure of the model cheap without changing the function computed.

Three facts are used throughout. A linear map of a concatenation is a sum of linear maps, so the part that sees memory
alone runs once a slot. What depends on a slot alone is gathered by address. Convolutions on CPU are fast only while
every tensor stays in channels_last, gathers included.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


def one_map_conv(x: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution with padding 1 of x [N, C, H, W] by weight [1, C, 3, 3] → [N, 1, H, W].

    A convolution onto one map leaves matrix units idle, in backward most of all. As one matrix product for the nine
    taps and a sum of shifted maps it is twice as fast: the rows of the product are the pixels of the NHWC view.
    """
    N, C, H, W = x.shape
    # fold adds tap t at q + t − 1 where a convolution reads at q = p + t − 1: hence the flip.
    taps = weight[0].flip(1, 2).reshape(C, 9)
    products = x.permute(0, 2, 3, 1).reshape(N * H * W, C) @ taps
    return F.fold(products.view(N, H * W, 9).transpose(1, 2), (H, W), 3, padding=1)


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
            last = layer[-1]
            last.is_output = True  # type: ignore[assignment]
    for layer in network.modules():
        if getattr(layer, "is_output", False) or not isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
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
