"""Parts of the residual networks: 2×2 patches, blocks, the trunk of a pyramid, and heads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.networks.convolutional import Size, halved
from vmacore.networks.layers import nhwc_flat, output, zero


def sizes_of(size: Size, stages: int) -> list[Size]:
    """Sizes of the maps of each stage, finest first: 26 → 13, 7, 4."""
    sizes = []
    for _ in range(stages):
        size = halved(size)
        sizes.append(size)
    return sizes


def patches(x: Tensor) -> Tensor:
    """2×2 neighbours as channels: [N, C, H, W] → [N, ⌈H/2⌉, ⌈W/2⌉, 4C], with zeros beyond an odd edge."""
    pixels = x.permute(0, 2, 3, 1)
    N, H, W, C = pixels.shape
    if H % 2 or W % 2:
        pixels = F.pad(pixels, (0, 0, 0, W % 2, 0, H % 2))
    h, w = (H + 1) // 2, (W + 1) // 2
    return pixels.reshape(N, h, 2, w, 2, C).transpose(2, 3).reshape(N, h, w, 4 * C)


def unpatched(x: Tensor, size: Size) -> Tensor:
    """The inverse of `patches`: [N, h, w, 4C] → [N, C, H, W] in channels_last, cut to `size`."""
    N, h, w, C = x.shape
    pixels = x.view(N, h, w, 2, 2, C // 4).transpose(2, 3).reshape(N, 2 * h, 2 * w, C // 4)
    return pixels[:, : size[0], : size[1]].contiguous().permute(0, 3, 1, 2)


class Block(nn.Module):
    """x + conv(relu(conv(relu(x)))), or x + conv(relu(conv(norm(x)))) with the norm over the channels of a place."""

    def __init__(self, maps: int, normalised: bool = False) -> None:
        super().__init__()
        self.normalised = normalised
        self.first = nn.Conv2d(maps, maps, 3, padding=1)
        self.second = zero(nn.Conv2d(maps, maps, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        before = normal_rows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if self.normalised else F.relu(x)
        added: Tensor = x + self.second(F.relu_(self.first(before)))
        return added


def normal_rows(x: Tensor) -> Tensor:
    """x [..., C] with mean 0 and variance 1 over its last dimension, in the type of x."""
    return F.layer_norm(x, x.shape[-1:]).to(x.dtype)


def stages_of(maps: Sequence[int], blocks: Sequence[int], normalised: bool) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(*(Block(C, normalised) for _ in range(count))) for C, count in zip(maps, blocks, strict=True)
    )


class Trunk(nn.Module):
    """Stages of residual blocks on the way down: [N, stages[0], h, w] → maps of every stage, finest first."""

    def __init__(self, size: Size, stages: Sequence[int], blocks: Sequence[int], normalised: bool = False) -> None:
        super().__init__()
        self.normalised = normalised
        self.stages = stages_of(stages, blocks, normalised)
        self.merges = nn.ModuleList(nn.Linear(4 * fine, coarse) for fine, coarse in pairwise(stages))
        height, width = sizes_of(size, len(stages))[-1]
        self.out_features = stages[-1] * height * width

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stages[0](x)]
        for merge, stage in zip(self.merges, self.stages[1:], strict=True):
            maps.append(stage(merge(patches(F.relu(maps[-1]))).permute(0, 3, 1, 2)))
        return maps

    def top(self, maps: list[Tensor]) -> Tensor:
        """The coarsest maps as vectors [N, F]."""
        vectors = nhwc_flat(F.relu(maps[-1]))
        return normal_rows(vectors) if self.normalised else vectors


class Head(nn.Module):
    """An MLP with one hidden layer; its last layer and result are never of less than float32, under autocast too."""

    def __init__(self, into: int, hidden: int, out: int) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(into, hidden), output(nn.Linear(hidden, out))

    def forward(self, x: Tensor) -> Tensor:
        return exact(self.out, F.relu(self.hidden(x)))


class Nothing(nn.Module):
    """What stands for a `Head` where there is nothing to compute: [N, …] → [N, 0]."""

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(x.new_zeros(len(x), 0))


def gaussian_head(into: int, hidden: int, latent: int) -> nn.Module:
    """Parameters [N, 2Z] of a diagonal Gaussian over R^Z, Z = 0 included."""
    return Head(into, hidden, 2 * latent) if latent else Nothing()


def at_least_float32(x: Tensor) -> Tensor:
    """What a layer gave under autocast in the precision that densities need."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def exact(layer: nn.Linear, x: Tensor) -> Tensor:
    """A layer outside autocast, in the type of its weights."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype))


class Stem(nn.Conv2d):
    """The first layer: a 3×3 convolution over patches, [N, 1, H, W] → [N, maps, ⌈H/2⌉, ⌈W/2⌉]."""

    def __init__(self, maps: int, bias: bool = True) -> None:
        super().__init__(4, maps, 3, padding=1, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(patches(images).permute(0, 3, 1, 2))
