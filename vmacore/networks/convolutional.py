"""Convolutional networks of the Omniglot experiments (section 4.2): a downscaling pyramid and its mirror."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.config.sections import Channels, Hidden
from vmacore.latents import Latents
from vmacore.networks import base
from vmacore.networks.layers import (
    MLP,
    ConcatConv2d,
    ConcatConvTranspose2d,
    ConcatLinear,
    Modules,
    add_rows_,
    channels_last,
    nhwc_flat,
    nhwc_unflat,
    one_map_conv,
    output,
    relu_of_taps,
    rows,
    taps,
    upscaled_to_one_map,
)


class Options(ModelConfig):
    """The keys that it reads."""

    channels: Channels  # maps of each layer
    hidden: Hidden

    def check(self) -> None:
        if len(self.channels) < 2 or min(self.channels) < 2:
            raise ValueError("channels needs two layers or more, of two maps or more each")


Size = tuple[int, int]


def halved(size: Size) -> Size:
    """The size after a 3×3 convolution of stride 2 with padding 1: 26 → 13 → 7 → 4, 28 → 14 → 7 → 4."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def sizes_of(size: Size, layers: int) -> list[Size]:
    """Sizes of the maps after each layer of a pyramid, in which every second layer has stride 2."""
    sizes = []
    for layer in range(layers):
        size = halved(size) if layer % 2 else size
        sizes.append(size)
    return sizes


def mirrored(size: Size, channels: Sequence[int]) -> list[tuple[int, int, tuple[int, int] | None]]:
    """Layers of the mirrored pyramid, coarse to fine: maps in, maps out, output padding where the stride is 2."""
    into = (1, *channels[:-1])
    sizes = [size, *sizes_of(size, len(channels))]
    layers = []
    for layer in reversed(range(len(channels))):
        fine, coarse = sizes[layer], sizes[layer + 1]
        # Stride 2 gives 2n − 1; where the finer map is even one more row and column are needed.
        more = (fine[0] - 2 * coarse[0] + 1, fine[1] - 2 * coarse[1] + 1) if layer % 2 else None
        layers.append((channels[layer], into[layer], more))
    return layers


class Pyramid(nn.Module):
    """3×3 convolutions with ReLU, stride 2 in every second: [N, 1, H, W] → maps of every layer, finest first."""

    def __init__(self, size: Size, channels: Sequence[int], first_layer: int = 0) -> None:
        super().__init__()
        into = (1, *channels[:-1])
        self.convolutions: Modules[nn.Conv2d] = Modules(
            nn.Conv2d(into[layer], channels[layer], 3, stride=1 + layer % 2, padding=1)
            for layer in range(first_layer, len(channels))
        )
        height, width = sizes_of(size, len(channels))[-1]
        self.out_features = channels[-1] * height * width

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for convolution in self.convolutions:
            x = relu_of_taps(taps(x), convolution) if x.shape[1] == 1 else F.relu_(convolution(x))
            maps.append(x)
        return maps


class Embedding(nn.Module):
    """h and h_q: images [N, 1, H, W] → embeddings [N, E] (equation 5)."""

    def __init__(self, size: Size, channels: Sequence[int], hidden: int, embedding: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(size, channels)
        self.head = MLP(self.pyramid.out_features, hidden, embedding)

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.head(nhwc_flat(self.pyramid(channels_last(images))[-1]))
        return embeddings


class Recognition(base.Recognition):
    """q(z|x, m): x and m concatenated as channels, a pyramid, an MLP into mean and log standard deviation."""

    def __init__(self, size: Size, channels: Sequence[int], hidden: int, latent: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, channels[0], 3, padding=1)
        self.pyramid = Pyramid(size, channels, first_layer=1)
        self.head = MLP(self.pyramid.out_features, hidden, 2 * latent)

    def slot_side(self, slots: Tensor) -> Tensor:
        """slots [S, 1, H, W] → what the first layer sees of them, and a 1 [S, H, W, 10]."""
        return taps(slots)

    def forward(self, targets: Tensor, slot_side: Tensor, target: Tensor, slot: Tensor) -> list[Tensor]:
        """Pairs of targets[target] and slot, both indices [U] → parameters [U, 2Z]."""
        # What a layer sees is a fifth of what it gives, and less again to gather.
        seen = torch.cat([taps(targets, constant=False).index_select(0, target), slot_side.index_select(0, slot)], 3)
        return [self.head(nhwc_flat(self.pyramid(relu_of_taps(seen, self.first))[-1]))]


class SlotEncoder(base.SlotEncoder):
    """The pyramid over a slot that p(z|m) and p(x|z, m) share: slots [S, 1, H, W] → maps, finest first."""

    def __init__(self, size: Size, channels: Sequence[int]) -> None:
        super().__init__()
        self.pyramid = Pyramid(size, channels)
        self.out_features = self.pyramid.out_features

    def forward(self, slots: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.pyramid(channels_last(slots))
        return maps

    def top(self, maps: list[Tensor]) -> Tensor:
        """The coarsest maps as vectors [S, F]."""
        return nhwc_flat(maps[-1])


class Decoder(base.Decoder):
    """p(x|z, m): the pyramid mirrored, with skip connections from the maps of the slot at every resolution.

    The slot enters four ways: as a vector beside z, and beside the input of every upscaling layer. A transposed
    convolution of stride 1 is a convolution with its kernel turned round, so those layers are plain convolutions.
    """

    def __init__(self, size: Size, channels: Sequence[int], hidden: int, latent: int, features: int) -> None:
        super().__init__()
        self.top_size = sizes_of(size, len(channels))[-1]
        self.top_channels = channels[-1]
        self.vector = nn.Linear(features, latent)
        self.start = ConcatLinear(latent, latent, hidden)
        self.expand = nn.Linear(hidden, features)
        self.layers: Modules[ConcatConv2d | ConcatConvTranspose2d] = Modules(
            ConcatConv2d(maps, maps, below) if more is None else ConcatConvTranspose2d(maps, maps, below, more)
            for maps, below, more in mirrored(size, channels)
        )
        output(self.layers[-1])

    def slot_side(self, top: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """A slot's share of every layer: [S, hidden], then the skip connections from coarse to fine."""
        skips = [layer.right(skip) for layer, skip in zip(self.layers, reversed(maps), strict=True)]
        return [self.start.right(self.vector(top)), *skips]

    def forward(self, z: Tensor, slot_side: list[Tensor], slot: Tensor | None, latents: Latents) -> Tensor:
        """z [P, Z] with slot [P] → logits [P, 1, H, W]; there are no finer latents."""
        start, *skips = slot_side
        h = F.relu_(self.start.left(z) + rows(start, slot))
        x = nhwc_unflat(F.relu_(self.expand(h)), self.top_channels, *self.top_size)
        *inner, last = self.layers
        for layer, skip, below in zip(inner, skips[:-1], skips[1:], strict=True):
            even = below.shape[2] == skip.shape[2] == 2 * x.shape[2] and skip.shape[3] == 2 * x.shape[3]
            if layer is inner[-1] and even and x.device.type == "cpu" and not torch.is_grad_enabled():
                weights = layer.weight[: layer.split], last.weight[:, : last.split]
                return upscaled_to_one_map(x, weights[0], skip, slot, weights[1]) + rows(below, slot)
            x = F.relu_(add_rows_(layer.left(x), skip, slot))
        return last.left(x) + rows(skips[-1], slot)


class PlainDecoder(nn.Module):
    """p(x|z): the same mirrored pyramid without a slot."""

    def __init__(self, size: Size, channels: Sequence[int], hidden: int, latent: int) -> None:
        super().__init__()
        self.top_size = sizes_of(size, len(channels))[-1]
        self.top_channels = channels[-1]
        self.start = nn.Linear(latent, hidden)
        self.expand = nn.Linear(hidden, channels[-1] * self.top_size[0] * self.top_size[1])
        self.layers: Modules[nn.Conv2d | nn.ConvTranspose2d] = Modules(
            nn.Conv2d(maps, below, 3, padding=1)
            if more is None
            else nn.ConvTranspose2d(maps, below, 3, stride=2, padding=1, output_padding=more)
            for maps, below, more in mirrored(size, channels)
        )
        output(self.layers[-1])

    def forward(self, z: Tensor) -> Tensor:
        """z [P, Z] → logits [P, 1, H, W]."""
        h = F.relu_(self.start(z))
        x = nhwc_unflat(F.relu_(self.expand(h)), self.top_channels, *self.top_size)
        *inner, last = self.layers
        for layer in inner:
            x = F.relu_(layer(x))
        maps = one_map_conv(x, last.weight)
        return maps if last.bias is None else maps + last.bias


class Family(base.Networks):
    """Pyramids and their mirrors (section 4.2)."""

    config: Options

    @property
    def widest(self) -> int:
        """Maps of the first layer."""
        return self.config.channels[0]

    def encoder(self, out: int) -> Embedding:
        return Embedding(self.config.size, self.config.channels, self.config.hidden, out)

    def recognition(self) -> Recognition:
        return Recognition(self.config.size, self.config.channels, self.config.hidden, self.config.latent)

    def slot_encoder(self) -> SlotEncoder:
        return SlotEncoder(self.config.size, self.config.channels)

    def prior(self, features: int) -> MLP:
        return MLP(features, self.config.hidden, 2 * self.config.latent)

    def decoder(self, features: int) -> Decoder:
        return Decoder(self.config.size, self.config.channels, self.config.hidden, self.config.latent, features)

    def plain_decoder(self) -> PlainDecoder:
        return PlainDecoder(self.config.size, self.config.channels, self.config.hidden, self.config.latent)
