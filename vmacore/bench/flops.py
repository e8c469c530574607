"""Floating-point operations that the convolutional models need, counted from their layers, not from how they are run.

A multiplication and an addition count as two. Counted are convolutions, without the taps that fall on padding, and
matrix products; everything else is small. What depends on a slot alone counts once a slot, equal (target, address)
pairs count once, and a convolution of a concatenation counts as the sum of convolutions that it is. A backward pass
counts twice its forward pass, less the gradients of inputs that need none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from vmacore.config import ModelConfig
from vmacore.models import soft_attention, vma
from vmacore.networks import convolutional
from vmacore.networks.convolutional import mirrored, sizes_of


@dataclass(frozen=True)
class Flops:
    """Operations of some layers.

    forward: of the forward pass. constant: that share of it whose input needs no gradient.
    """

    forward: float = 0.0
    constant: float = 0.0

    @property
    def training(self) -> float:
        """Of the forward and the backward pass."""
        return 3 * self.forward - self.constant

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.forward + other.forward, self.constant + other.constant)

    def __rmul__(self, times: float) -> Flops:
        return Flops(times * self.forward, times * self.constant)


@dataclass(frozen=True)
class Work:
    """How often each part runs in one pass; means where addresses are drawn.

    targets: B. slots: |M|. used: slots drawn at all. pairs: distinct (target, address) pairs. samples: B·K.
    """

    targets: float
    slots: float
    used: float
    pairs: float
    samples: float

    @staticmethod
    def expected(targets: int, slots: int, samples: int) -> Work:
        """With K = `samples` addresses for each target from a flat q(a|x), the most expensive one."""

        def distinct(draws: int) -> float:
            return slots * (1 - (1 - 1 / slots) ** draws)

        return Work(targets, slots, distinct(targets * samples), targets * distinct(samples), targets * samples)


class Layers:
    """Operations of each part of a convolutional model, for one image, slot, pair or sample."""

    def __init__(self, config: ModelConfig) -> None:
        config = convolutional.Options.of(config)
        Z, hidden, size, channels = config.latent, config.hidden, config.size, config.channels
        self.hidden = hidden
        sizes = sizes_of(size, len(channels))
        into = (1, *channels[:-1])
        fine = [size, *sizes]  # of the input of each layer
        self.pixels = size[0] * size[1]
        self.features = channels[-1] * sizes[-1][0] * sizes[-1][1]
        layers = range(len(channels))
        pyramid = [conv_flops(into[i], channels[i], fine[i], stride=1 + i % 2) for i in layers]
        self.first = Flops(pyramid[0], pyramid[0])  # sees pixels, which need no gradient
        self.rest = Flops(sum(pyramid[1:]))
        upscaling, self.shares = 0.0, hidden
        for i, (maps, below, _) in zip(reversed(layers), mirrored(size, channels), strict=True):
            # Transposed, a convolution of stride 2 makes the operations of the one that it mirrors.
            upscaling += conv_flops(maps, below, fine[i], stride=1 + i % 2)
            self.shares += below * fine[i][0] * fine[i][1]
        self.upscaling = Flops(upscaling)  # of one half of what is concatenated
        self.decoder = mlp(Z, hidden, self.features) + self.upscaling
        self.template = self.rest + self.upscaling + mlp(self.features, Z, hidden)
        self.prior = mlp(self.features, hidden, 2 * Z)
        self.recognition = self.rest + mlp(self.features, hidden, 2 * Z)

    def embedding(self, outputs: int) -> Flops:
        """A pyramid over an image and an MLP."""
        return self.first + self.rest + mlp(self.features, self.hidden, outputs)


def vma_flops(config: ModelConfig, work: Work) -> dict[str, Flops]:
    """Of variational memory addressing, by part."""
    config = vma.Options.of(config)
    layers, E = Layers(config), config.embedding
    return {
        "keys": work.slots * layers.embedding(E),
        "queries": work.targets * layers.embedding(E),
        "similarities": Flops(2 * E * work.slots * (work.targets + (config.address_prior == "learned"))),
        "slots drawn": work.used * (2 * layers.first + layers.template + layers.prior),
        "q(z|x, m)": work.targets * layers.first + work.pairs * layers.recognition,
        "decoder": work.samples * layers.decoder,
    }


def soft_attention_flops(config: ModelConfig, work: Work) -> dict[str, Flops]:
    """Of soft attention, by part; the work counts no `used` slots and no `pairs`."""
    config = soft_attention.Options.of(config)
    layers, E, Z = Layers(config), config.embedding, config.latent
    if config.read == "pixels":  # the mixture of pixels has a gradient, and is encoded for every sample
        pixels = 2 * work.samples * work.slots * layers.pixels
        mixing = Flops(pixels, pixels)
        templates = work.samples * (Flops(layers.first.forward) + layers.template)
    else:
        mixing = Flops(2 * work.samples * work.slots * layers.shares)
        templates = work.slots * (layers.first + layers.template)
    return {
        "keys": work.slots * layers.embedding(E),
        "q(z|x)": work.targets * layers.embedding(2 * Z),
        "attention": work.samples * (mlp(Z, config.hidden, E) + Flops(2 * E * work.slots)),
        "slots encoded": templates,
        "mixing": mixing,
        "decoder": work.samples * layers.decoder,
    }


def total(parts: Iterable[Flops]) -> Flops:
    """The sum."""
    return sum(parts, Flops())


def mlp(*sizes: int) -> Flops:
    """Of linear layers for one vector."""
    return Flops(sum(2 * before * after for before, after in pairwise(sizes)))


def conv_flops(into: int, out: int, size: tuple[int, int], stride: int = 1) -> float:
    """Of a 3×3 convolution with padding 1 for one image of that size."""
    return 2.0 * into * out * taps(size[0], stride) * taps(size[1], stride)


def taps(side: int, stride: int) -> int:
    """Taps of a convolution of width 3 that fall on pixels, over all its positions along a side."""
    positions = -(-side // stride)
    beyond = 1 if stride == 2 and side % 2 == 0 else 2  # the last position of an even side is short of its end
    return 3 * positions - beyond
