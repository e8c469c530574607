"""Residual networks on 2×2 patches, and a decoder with latents at several resolutions: `model.network = "residual"`.

An image is cut into patches of 2×2 pixels, so that the finest maps are half as large and nothing runs at full
resolution: 26 → 13 → 7 → 4. Between sizes 2×2 neighbours are merged by one matrix, and on the way up expanded by one.
At each size stand residual blocks (He et al. 2016), whose second convolution starts at zero. All convolutions are 3×3
with stride 1, and all else is a matrix product on the NHWC view.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.config.sections import Hidden
from vmacore.latents import Latents
from vmacore.networks import base
from vmacore.networks.convolutional import Size
from vmacore.networks.eye import Eye
from vmacore.networks.layers import ConcatLinear, Modules, nhwc_unflat, output, rows, zero
from vmacore.networks.patches import (
    Block,
    Head,
    Stem,
    Trunk,
    at_least_float32,
    gaussian_head,
    sizes_of,
    unpatched,
)


class Options(ModelConfig):
    """The keys that it reads."""

    # Maps and blocks of each stage, finest first, and maps of the latent there, finer than z (0: none).
    stages: tuple[Annotated[int, Field(ge=1)], ...] = Field((64, 96, 128), min_length=1)
    blocks: tuple[Annotated[int, Field(ge=0)], ...] = (1, 1, 1)
    latent_maps: tuple[Annotated[int, Field(ge=0)], ...] = (0, 0, 0)
    # Latents one after the other at each size, each given those before it; (): one.
    latent_layers: tuple[Annotated[int, Field(ge=1)], ...] = ()
    hidden: Hidden
    # Hidden units of an MLP by which q of a finer latent sees decoder and recognition together; 0: none.
    posterior_hidden: int = Field(0, ge=0)
    # Inputs of the blocks and MLPs of h and h_q have mean 0 and variance 1 (Ba et al. 2016, without weights).
    normalised_embedding: bool = False

    @property
    def layers(self) -> tuple[int, ...]:
        """How many latents each stage has, finest first."""
        drawn = self.latent_layers or (1,) * len(self.latent_maps)
        return tuple(layers if maps else 0 for layers, maps in zip(drawn, self.latent_maps, strict=True))

    @property
    def recognised(self) -> int:
        """How many stages q sees, from the finest to the coarsest that has a latent."""
        return len(self.stages) if self.latent else max(at for at, maps in enumerate(self.latent_maps, 1) if maps)

    @property
    def finer_latents(self) -> bool:
        return any(self.latent_maps)

    def settled(self) -> dict[str, Any]:
        return super().settled() | {"latent_layers": self.layers}

    def check(self) -> None:
        if len({len(self.stages), len(self.blocks), len(self.latent_maps)}) > 1:
            raise ValueError("stages, blocks and latent_maps need an entry for each size of the maps")
        if self.latent_layers and len(self.latent_layers) != len(self.latent_maps):
            raise ValueError("latent_layers needs an entry for each of latent_maps, or none")
        if any(many > 1 and not maps for many, maps in zip(self.latent_layers, self.latent_maps, strict=False)):
            raise ValueError("latent_layers must be 1 where latent_maps is 0: there is no latent there")
        if self.system != "vma":
            raise ValueError(f"a {self.system} model has no residual network: leave model.network out")


class SlotEncoder(base.SlotEncoder):
    """The pyramid over a slot that p(z|m) and p(x|z, m) share: slots [S, 1, H, W] → maps, finest first."""

    def __init__(self, size: Size, stages: Sequence[int], blocks: Sequence[int], normalised: bool = False) -> None:
        super().__init__()
        self.stem, self.trunk = Stem(stages[0]), Trunk(size, stages, blocks, normalised)
        self.out_features = self.trunk.out_features

    def forward(self, slots: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.trunk(self.stem(slots))
        return maps

    def top(self, maps: list[Tensor]) -> Tensor:
        """The coarsest maps as vectors [S, F]."""
        return self.trunk.top(maps)


class Embedding(nn.Module):
    """h and h_q: images [N, 1, H, W] → embeddings [N, E] (equation 5)."""

    def __init__(
        self,
        size: Size,
        stages: Sequence[int],
        blocks: Sequence[int],
        normalised: bool,
        hidden: int,
        embedding: int,
    ) -> None:
        super().__init__()
        self.pyramid = SlotEncoder(size, stages, blocks, normalised)
        self.head = Head(self.pyramid.out_features, hidden, embedding)

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.head(self.pyramid.top(self.pyramid(images)))
        return embeddings


class Recognition(base.Recognition):
    """q(z|x, m): x and m concatenated as channels, a pyramid, an MLP for the coarsest latent, its maps for the others.

    The pyramid ends at the coarsest stage that has a latent. Patches of x and of m have a part of the first layer each,
    which are added.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        depth = options.recognised
        stages, blocks = options.stages[:depth], options.blocks[:depth]
        self.target, self.slot = Stem(stages[0]), Stem(stages[0], bias=False)
        self.trunk = Trunk(options.size, stages, blocks)
        self.head = gaussian_head(self.trunk.out_features, options.hidden, options.latent)

    def slot_side(self, slots: Tensor) -> Tensor:
        """slots [S, 1, H, W] → their part of the first layer [S, C, h, w]."""
        part: Tensor = self.slot(slots)
        return part

    def forward(self, targets: Tensor, slot_side: Tensor, target: Tensor, slot: Tensor) -> list[Tensor]:
        """Pairs of targets[target] and slot, both indices [U] → parameters [U, 2Z], maps of every stage [U, …]."""
        maps = self.trunk(rows(self.target(targets), target) + rows(slot_side, slot))
        return [self.head(self.trunk.top(maps)), *maps]


class Level(nn.Module):
    """A latent of c maps at one resolution: p(z_l|z_<l, m), the correction to it in q(z_l|z_<l, x, m), its way in.

    The correction sees the decoder's features and the recognition's; what the latter bring is computed once a pair. It
    is linear in both and, with hidden units, an MLP's of both is added, which can see how they differ.
    """

    def __init__(self, maps: int, latent: int, hidden: int = 0) -> None:
        super().__init__()
        self.latent = latent
        self.both = nn.Linear(maps, 4 * latent)
        self.evidence = nn.Linear(maps, 2 * latent, bias=False)
        self.entry = nn.Linear(latent, maps)
        self.hidden_out: nn.Linear | None = None
        if hidden:
            self.both_hidden = nn.Linear(maps, hidden)
            self.evidence_hidden = nn.Linear(maps, hidden, bias=False)
            self.hidden_out = nn.Linear(hidden, 2 * latent)
        # q begins as p, and p as N(0, I): from anywhere else the first weights are so far apart that the addresses
        # settle before they mean anything.
        for layer in self.starting_at_zero():
            zero(layer)
        output(self.entry)

    def gaussians(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [P, h, w, C] → parameters of p(z_l|·) [P, h, w, 2c], and their part of the correction."""
        prior, part = at_least_float32(self.both(features)).chunk(2, -1)
        if self.hidden_out is not None:
            part = torch.cat([part, at_least_float32(self.both_hidden(features))], -1)
        return prior, part

    def forward(self, features: Tensor, latents: Latents) -> Tensor:
        """Features [P, h, w, C] → what z_l adds to them."""
        prior, part = self.gaussians(features)
        return self.entry(latents.draw(prior, lambda seen: prior + self.correction(part + seen)))

    def starting_at_zero(self) -> list[nn.Linear]:
        """The layers that p and q start with: with zeros there both are N(0, I)."""
        return [self.both, self.evidence, *([self.hidden_out] if self.hidden_out else [])]

    def seen(self, features: Tensor) -> Tensor:
        """The recognition's features [U, h, w, C] → their part of the correction."""
        part = self.evidence(features)
        if self.hidden_out is not None:
            part = torch.cat([part, self.evidence_hidden(features)], -1)
        return at_least_float32(part)

    def correction(self, parts: Tensor) -> Tensor:
        """The sum of both parts → what q adds to the parameters of p, [P, h, w, 2c]."""
        if self.hidden_out is None:
            return parts
        linear, hidden = parts[..., : 2 * self.latent], parts[..., 2 * self.latent :]
        return linear + at_least_float32(self.hidden_out(F.relu(hidden)))


class Rung(nn.Module):
    """A latent, where there is one, and the residual blocks after it."""

    def __init__(self, maps: int, latent: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.level = Level(maps, latent, hidden) if latent else None
        self.blocks = nn.Sequential(*(Block(maps) for _ in range(blocks)))

    def forward(self, x: Tensor, latents: Latents) -> Tensor:
        """Maps [P, C, h, w] with what z_l adds to them, after the blocks."""
        if self.level is not None:
            added: Tensor = self.level(F.relu(x).permute(0, 2, 3, 1), latents)
            x = x + added.permute(0, 3, 1, 2).to(x.dtype)
        after: Tensor = self.blocks(x)
        return after


class Decoder(base.Decoder):
    """p(x|z, m) upwards, with skip connections from the maps of the slot and latents of its own at some sizes.

    The coarsest latent of all, z [P, Z], is a vector, as in the paper; the finer ones are a ladder (Sønderby et al.
    2016; several at a size after Child 2021): each has a diagonal Gaussian prior given all that came before, so that
    given z, every level of it, pixels are independent. latent = 0 leaves the vector out; the decoder then begins with
    the coarsest maps of the slot. A stage is a list of rungs, the first with the stage's blocks, each other with one.

    features: numbers in the top of a slot's maps.
    """

    def __init__(self, options: Options, features: int) -> None:
        super().__init__()
        stages, hidden = options.stages, options.hidden
        self.size, self.sizes = options.size, sizes_of(options.size, len(stages))
        self.top_channels = stages[-1]
        self.start = ConcatLinear(options.latent, features, hidden) if options.latent else None
        self.expand = nn.Linear(hidden, features) if options.latent else None
        self.skips = nn.ModuleList(nn.Conv2d(maps, maps, 3, padding=1) for maps in stages)
        self.stages: Modules[Modules[Rung]] = Modules(
            Modules(
                Rung(maps, latent, options.posterior_hidden, 1 if number else blocks)
                for number in range(max(1, layers))
            )
            for maps, latent, blocks, layers in zip(
                stages, options.latent_maps, options.blocks, options.layers, strict=True
            )
        )
        self.expansions = nn.ModuleList(nn.Linear(coarse, 4 * fine) for fine, coarse in pairwise(stages))
        self.pixels = output(nn.Conv2d(stages[0], 4, 3, padding=1))
        self.finer = sum(
            height * width * maps * many
            for (height, width), maps, many in zip(self.sizes, options.latent_maps, options.layers, strict=True)
        )
        names = []
        for at, many in reversed(list(enumerate(options.layers))):
            size = "{}×{}".format(*self.sizes[at])
            names += [f"{size} ({number})" for number in range(1, many + 1)] if many > 1 else [size] * many
        self.latent_names = ("z", *names)

    @property
    def levels(self) -> list[tuple[int, Level]]:
        """The latents, coarse to fine, with the number of their stage."""
        downwards = reversed(list(enumerate(self.stages)))
        return [(at, rung.level) for at, rungs in downwards for rung in rungs if rung.level is not None]

    def evidence(self, recognised: list[Tensor]) -> list[Tensor]:
        """Parameters of q(z|x, m) and what x and m bring to the corrections at every level, coarse to fine."""
        parameters, *maps = recognised
        features = [F.relu(stage).permute(0, 2, 3, 1) for stage in maps]
        return [parameters, *(level.seen(features[at]) for at, level in self.levels)]

    def slot_side(self, top: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """A slot's part of the start [S, hidden] and of every stage, finest first."""
        skips = [skip(F.relu(features)) for skip, features in zip(self.skips, maps, strict=True)]
        return [top.new_zeros(len(top), 0) if self.start is None else self.start.right(top), *skips]

    def forward(self, z: Tensor, slot_side: list[Tensor], slot: Tensor | None, latents: Latents) -> Tensor:
        """z [P, Z] with slot [P] → logits [P, 1, H, W]; slot None: slot_side has a row for each z already."""
        start, *skips = slot_side
        x = rows(skips[-1], slot)
        if self.start is not None and self.expand is not None:
            h = F.relu_(self.start.left(z) + rows(start, slot))
            x = x + nhwc_unflat(self.expand(h), self.top_channels, *self.sizes[-1])
        for at in reversed(range(len(self.stages))):
            if at < len(self.expansions):
                x = unpatched(self.expansions[at](F.relu(x).permute(0, 2, 3, 1)), self.sizes[at])
                x = x + rows(skips[at], slot)
            for rung in self.stages[at]:
                x = rung(x, latents)
        return unpatched(self.pixels(F.relu(x)).permute(0, 2, 3, 1), self.size).to(z.dtype)


class Family(base.Networks):
    """Residual networks on patches, with latents at several resolutions."""

    static = True  # few samples are of one pair, and what is compiled for each shape is compiled once
    config: Options

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.shape = config.size, self.config.stages, self.config.blocks

    @property
    def widest(self) -> int:
        """Nothing runs at full resolution: a quarter of the finest maps."""
        return -(-self.config.stages[0] // 4)

    def encoder(self, out: int) -> Embedding:
        return Embedding(*self.shape, self.config.normalised_embedding, self.config.hidden, out)

    def finer_encoder(self, out: int) -> Eye:
        return Eye(*self.shape, out)

    def recognition(self) -> Recognition:
        return Recognition(self.config)

    def slot_encoder(self) -> SlotEncoder:
        return SlotEncoder(*self.shape)

    def prior(self, features: int) -> nn.Module:
        return gaussian_head(features, self.config.hidden, self.config.latent)

    def decoder(self, features: int) -> Decoder:
        return Decoder(self.config, features)

    def plain_decoder(self) -> nn.Module:
        raise ValueError("residual networks have no decoder without a slot")
