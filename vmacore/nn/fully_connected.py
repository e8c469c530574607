"""Fully connected networks of the MNIST experiments (section 4.1), with the interface of the convolutional ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.nn.layers import MLP, ConcatLinear, rows


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


class Recognition(nn.Module):
    """q(z|x, m): an MLP of the concatenation [x, m] into mean and log standard deviation."""

    def __init__(self, pixels: int, slot: int, layers: Sequence[int], latent: int) -> None:
        super().__init__()
        self.first = ConcatLinear(pixels, slot, layers[0])
        self.rest = MLP(*layers, 2 * latent)

    def memory_side(self, slots: Tensor) -> Tensor:
        """slots [S, …] → their share of the first layer [S, layers[0]]."""
        return self.first.right(slots.flatten(1))

    def forward(self, targets: Tensor, memory_side: Tensor, target: Tensor, slot: Tensor) -> Tensor:
        """Pairs of targets[target] and slot, both indices [U] → parameters [U, 2Z]."""
        x = rows(self.first.left(targets.flatten(1)), target) + rows(memory_side, slot)
        parameters: Tensor = self.rest(F.relu_(x))
        return parameters


class Template(nn.Module):
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


class Decoder(nn.Module):
    """p(x|z, m): the encoder mirrored, z beside the template's last layer, skip connections into every layer after.

    The last skip connection enters at the pixels, from the slot itself: a slot holds more than a narrow hidden layer
    can carry, and one that has been seen should be drawn again exactly.
    """

    def __init__(self, pixels: int, slot: int, layers: Sequence[int], latent: int) -> None:
        super().__init__()
        self.start = ConcatLinear(latent, layers[-1], layers[-1])
        down = [*reversed(layers), pixels]
        beside = [*reversed(layers[:-1]), slot]
        self.layers = nn.ModuleList(
            ConcatLinear(before, skip, after)
            for before, skip, after in zip(down[:-1], beside, down[1:], strict=True)
        )
        self.layers[-1].is_output = True  # type: ignore[assignment]

    def memory_side(self, top: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """A slot's share of every layer, from coarse to fine."""
        skips = [layer.right(skip) for layer, skip in zip(self.layers, maps[-2::-1], strict=True)]  # type: ignore[operator]
        return [self.start.right(top), *skips]

    def forward(self, z: Tensor, memory_side: list[Tensor], slot: Tensor) -> Tensor:
        """z [P, Z] with slot [P] → logits [P, D]."""
        start, *skips = memory_side
        x = self.start.left(z) + rows(start, slot)
        for layer, skip in zip(self.layers, skips, strict=True):
            x = layer.left(F.relu_(x)) + rows(skip, slot)  # type: ignore[operator]
        return x
