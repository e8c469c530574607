"""Fully connected networks of the MNIST experiments (section 4.1), with the interface of the convolutional ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.latents import Latents
from vmacore.networks import base
from vmacore.networks.layers import MLP, ConcatLinear, Modules, Shared, output, rows


class Options(ModelConfig):
    """The keys that it reads."""

    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field((256, 128), min_length=1)  # units of each
    slot: int = Field(256, ge=1)  # size of a learned slot
    # How a slot enters at the pixels: by a matrix, each pixel by itself with a gain, or not at all.
    skip: Literal["matrix", "gain", "none"] = "matrix"

    @property
    def vector_slots(self) -> bool:
        return self.learns_slots

    def check(self) -> None:
        if self.skip == "gain" and self.vector_slots:
            raise ValueError(
                "learned slots here are vectors, which have no gain at a pixel: set skip to matrix or none"
            )


def _relu_layers(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))


class Embedding(nn.Module):
    """h and h_q: inputs flattened to [N, D] → embeddings [N, E] (equation 5)."""

    def __init__(self, inputs: int, layers: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.network = MLP(inputs, *layers, embedding)

    def forward(self, inputs: Tensor) -> Tensor:
        embeddings: Tensor = self.network(inputs.flatten(1))
        return embeddings


class Recognition(base.Recognition):
    """q(z|x, m): an MLP of the concatenation [x, m] into mean and log standard deviation."""

    def __init__(self, pixels: int, slot: int, layers: Sequence[int], latent: int) -> None:
        super().__init__()
        self.first = ConcatLinear(pixels, slot, layers[0])
        self.rest = MLP(*layers, 2 * latent)

    def slot_side(self, slots: Tensor) -> Tensor:
        """slots [S, …] → their share of the first layer [S, layers[0]]."""
        return self.first.right(slots.flatten(1))

    def forward(self, targets: Tensor, slot_side: Tensor, target: Tensor, slot: Tensor) -> list[Tensor]:
        """Pairs of targets[target] and slot, both indices [U] → parameters [U, 2Z]."""
        x = rows(self.first.left(targets.flatten(1)), target) + rows(slot_side, slot)
        return [self.rest(F.relu_(x))]


class SlotEncoder(base.SlotEncoder):
    """The encoder over a slot that p(z|m) and p(x|z, m) share: slots [S, …] → the slot itself, then hidden layers."""

    def __init__(self, slot: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = _relu_layers([slot, *layers])
        self.out_features = layers[-1]

    def forward(self, slots: Tensor) -> list[Tensor]:
        maps = [slots.flatten(1)]
        for layer in self.layers:
            maps.append(F.relu_(layer(maps[-1])))
        return maps

    def top(self, maps: list[Tensor]) -> Tensor:
        """The last hidden layer [S, F]."""
        return maps[-1]


class PixelGain(nn.Linear):
    """Logits of the pixels from hidden units and from the slot's own pixels: W u + b + exp(g) (2m − 1).

    A matrix has to find out which of its 784² entries lead from a pixel to itself, and to grow each to about 15 at a
    learning rate's pace; here each pixel has one gain g, whose exponential grows as fast as it pays.
    """

    def __init__(self, left: int, pixels: int) -> None:
        super().__init__(left, pixels)
        self.log_gain = nn.Parameter(torch.zeros(pixels))

    def left(self, u: Tensor) -> Tensor:
        """u [N, left] → [N, pixels], without the bias."""
        return F.linear(u, self.weight)

    def right(self, v: Tensor) -> Tensor:
        """Pixels v [N, pixels] of 0 and 1 → [N, pixels], with the bias."""
        return torch.addcmul(self.bias, 2 * v - 1, self.log_gain.exp())


class Decoder(base.Decoder):
    """p(x|z, m): the encoder mirrored, z beside the slot encoder's last layer, skip connections into every layer after.

    The last skip connection enters at the pixels, from the slot itself: a slot holds more than a narrow hidden layer
    can carry, and one that has been seen should be drawn again exactly. skip: "matrix" maps the slot to the logits,
    "gain" adds its pixels to them (`PixelGain`), "none" leaves that connection out.
    """

    def __init__(self, pixels: int, slot: int, layers: Sequence[int], latent: int, skip: str = "matrix") -> None:
        super().__init__()
        if skip == "gain" and slot != pixels:
            raise ValueError(f"a slot of {slot} numbers has no gain at {pixels} pixels")
        self.start = ConcatLinear(latent, layers[-1], layers[-1])
        down, beside = [*reversed(layers), pixels], [*reversed(layers[:-1])]
        hidden = [
            ConcatLinear(before, side, after) for before, side, after in zip(down, beside, down[1:], strict=False)
        ]
        last: nn.Linear
        if skip == "gain":
            last = PixelGain(layers[0], pixels)
        else:
            last = ConcatLinear(layers[0], slot if skip == "matrix" else 0, pixels)
        self.skip = skip
        self.layers: Modules[Shared] = Modules([*hidden, output(last)])

    def slot_side(self, top: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """A slot's share of every layer, from coarse to fine."""
        beside = [*maps[-2:0:-1], maps[0][:, :0] if self.skip == "none" else maps[0]]
        skips = [layer.right(skip) for layer, skip in zip(self.layers, beside, strict=True)]
        return [self.start.right(top), *skips]

    def forward(self, z: Tensor, slot_side: list[Tensor], slot: Tensor | None, latents: Latents) -> Tensor:
        """z [P, Z] with slot [P] → logits [P, D]; there are no finer latents."""
        start, *skips = slot_side
        x = self.start.left(z) + rows(start, slot)
        for layer, skip in zip(self.layers, skips, strict=True):
            x = layer.left(F.relu_(x)) + rows(skip, slot)
        return x


class PlainDecoder(MLP):
    """p(x|z): the encoder mirrored, without a slot; z [P, Z] → logits [P, D]."""

    def __init__(self, pixels: int, layers: Sequence[int], latent: int) -> None:
        super().__init__(latent, *reversed(layers), pixels)


class Family(base.Networks):
    """Multilayer perceptrons; a learned slot is a vector of `config.slot` numbers, any other an image."""

    config: Options

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.pixels = config.size[0] * config.size[1]
        self.slot = self.config.slot if config.vector_slots else self.pixels
        if config.vector_slots:
            self.slot_shape = (self.slot,)

    @property
    def widest(self) -> int:
        """As many as weigh about the same."""
        return 4

    def encoder(self, out: int) -> Embedding:
        return Embedding(self.pixels, self.config.layers, out)

    def key(self, out: int) -> Embedding:
        return Embedding(self.slot, self.config.layers, out)

    def recognition(self) -> Recognition:
        return Recognition(self.pixels, self.slot, self.config.layers, self.config.latent)

    def slot_encoder(self) -> SlotEncoder:
        return SlotEncoder(self.slot, self.config.layers)

    def prior(self, features: int) -> nn.Module:
        return nn.Linear(features, 2 * self.config.latent)

    def decoder(self, features: int) -> Decoder:
        return Decoder(self.pixels, self.slot, self.config.layers, self.config.latent, self.config.skip)

    def plain_decoder(self) -> PlainDecoder:
        return PlainDecoder(self.pixels, self.config.layers, self.config.latent)
