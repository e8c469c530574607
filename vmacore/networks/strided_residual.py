"""Residual convolutional networks of the generative matching network (Bartunov & Vetrov 2016), down and up again.

Sections halve the size without padding, 28 → 13 → 6 → 3. A section is a strided convolution and a residual block, with
a PReLU after each; past the whole of it goes a shortcut of averages, or on the way up of enlarged maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.networks.convolutional import Size
from vmacore.networks.layers import channels_last, nhwc_flat, nhwc_unflat, output

_KERNELS = (4, 3, 2)  # of the strided convolutions, finest first; any further one is as the last


class Section(NamedTuple):
    """Sizes and kernels of a section, the same on the way down and up."""

    fine: Size
    coarse: Size
    kernel: Size  # of the strided convolution, cut to the maps where these are smaller


def sections_of(size: Size, count: int) -> list[Section]:
    """The sections for images of a size, finest first."""
    sections = []
    for index in range(count):
        widest = _KERNELS[min(index, len(_KERNELS) - 1)]
        kernel = min(widest, size[0]), min(widest, size[1])
        coarse = (size[0] - kernel[0]) // 2 + 1, (size[1] - kernel[1]) // 2 + 1
        sections.append(Section(size, coarse, kernel))
        size = coarse
    return sections


class Block(nn.Module):
    """x + conv(x), then PReLU."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.convolution = output(nn.Conv2d(maps, maps, 3, padding=1))
        self.activation = nn.PReLU()  # one slope a layer: a slope a map takes three times as long in backward

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(x + self.convolution(x))
        return activated


class Down(nn.Module):
    """[N, into, fine] → [N, out, coarse]."""

    def __init__(self, section: Section, into: int, out: int) -> None:
        super().__init__()
        self.kernel = section.kernel
        convolution = nn.Conv2d(into, out, section.kernel, stride=2)
        self.main = nn.Sequential(convolution, nn.PReLU(), Block(out))
        self.shortcut = output(nn.Conv2d(into, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.main(x) + self.shortcut(F.avg_pool2d(x, self.kernel, stride=2))
        return maps


class Up(nn.Module):
    """[N, into, coarse] → [N, out, fine]."""

    def __init__(self, section: Section, into: int, out: int) -> None:
        super().__init__()
        self.fine = section.fine
        # Rows and columns that the way down did not reach.
        more = [f - 2 * (c - 1) - k for f, c, k in zip(section.fine, section.coarse, section.kernel, strict=True)]
        convolution = nn.ConvTranspose2d(into, out, section.kernel, stride=2, output_padding=(more[0], more[1]))
        self.main = nn.Sequential(convolution, nn.PReLU(), Block(out))
        self.shortcut = output(nn.Conv2d(into, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.main(x) + F.interpolate(self.shortcut(x), self.fine)
        return maps


class ResidualEncoder(nn.Module):
    """g: images [N, 1, H, W] → features [N, F]; for 28×28 and maps of 16, 32, 32 that is F = 3·3·32 = 288."""

    def __init__(self, size: Size, channels: Sequence[int]) -> None:
        super().__init__()
        sections, into = sections_of(size, len(channels)), (1, *channels[:-1])
        self.sections = nn.Sequential(*map(Down, sections, into, channels))
        height, width = sections[-1].coarse
        self.out_features = channels[-1] * height * width

    def forward(self, images: Tensor) -> Tensor:
        return nhwc_flat(self.sections(channels_last(images)))


class ResidualDecoder(nn.Module):
    """Vectors [P, into] → logits of the pixels [P, H·W]: the encoder upwards, whose finest maps are half as many."""

    def __init__(self, into: int, size: Size, channels: Sequence[int]) -> None:
        super().__init__()
        sections, out = sections_of(size, len(channels)), (max(1, channels[0] // 2), *channels[:-1])
        self.top_channels, self.top_size = channels[-1], sections[-1].coarse
        self.start = nn.Linear(into, channels[-1] * self.top_size[0] * self.top_size[1])
        self.sections = nn.Sequential(*reversed([Up(*layer) for layer in zip(sections, channels, out, strict=True)]))
        self.pixels = output(nn.Linear(out[0], 1))  # a 1×1 convolution onto one map, as a matrix product

    def forward(self, vectors: Tensor) -> Tensor:
        x = self.sections(nhwc_unflat(self.start(vectors), self.top_channels, *self.top_size))
        logits: Tensor = self.pixels(x.permute(0, 2, 3, 1))
        return logits.flatten(1)
