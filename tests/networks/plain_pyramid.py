"""The residual networks with latents at every resolution, written plainly: strided convolutions for the matrices on
2×2 neighbours, one convolution of the concatenated images, one row for each sample and nothing shared.

These functions take the weights of `vmacore.networks.residual` and none of its functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from vmacore.latents import Latents, as_seen


def cut(images: Tensor) -> Tensor:
    """Patches of 2×2 pixels as channels, with zeros beyond an odd edge."""
    return F.pixel_unshuffle(F.pad(images, (0, images.shape[3] % 2, 0, images.shape[2] % 2)), 2)


def standardised(x: Tensor, dim: int) -> Tensor:
    """x with mean 0 and variance 1 over a dimension."""
    centred = x - x.mean(dim, keepdim=True)
    return centred / (centred.square().mean(dim, keepdim=True) + 1e-5).sqrt()


def blocks(stage: Any, x: Tensor) -> Tensor:
    """The residual blocks of a stage."""
    for block in stage:
        before = standardised(x, 1) if block.normalised else F.relu(x)
        x = x + block.second(F.relu(block.first(before)))
    return x


def merged(merge: Any, x: Tensor) -> Tensor:
    """2×2 neighbours by one matrix, as a convolution of stride 2."""
    weight = merge.weight.view(len(merge.weight), 2, 2, x.shape[1]).permute(0, 3, 1, 2)
    return F.conv2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)), weight, merge.bias, stride=2)


def expanded(weight: Tensor, bias: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Every place as 2×2 places by the matrix weight [4f, C], as a transposed convolution of stride 2, cut to size."""
    maps = F.conv_transpose2d(x, weight.view(2, 2, -1, x.shape[1]).permute(3, 2, 0, 1), stride=2)
    maps = maps + bias.view(2, 2, -1).permute(2, 0, 1).repeat(1, x.shape[2], x.shape[3])
    return maps[:, :, : size[0], : size[1]]


def trunk(network: Any, x: Tensor) -> list[Tensor]:
    """Maps of every stage, finest first."""
    maps = [blocks(network.stages[0], x)]
    for merge, stage in zip(network.merges, list(network.stages)[1:], strict=True):
        maps.append(blocks(stage, merged(merge, F.relu(maps[-1]))))
    return maps


def vectors(maps: list[Tensor], normalised: bool) -> Tensor:
    """The coarsest maps as vectors, places before channels."""
    flat = F.relu(maps[-1]).permute(0, 2, 3, 1).flatten(1)
    return standardised(flat, 1) if normalised else flat


def head(network: Any, x: Tensor) -> Tensor:
    """Linear, ReLU, linear."""
    result: Tensor = network.out(F.relu(network.hidden(x)))
    return result


def slot_encoder(network: Any, images: Tensor) -> list[Tensor]:
    """The pyramid over images: maps of every stage, finest first."""
    return trunk(network.trunk, F.conv2d(cut(images), network.stem.weight, network.stem.bias, padding=1))


def embedding(network: Any, images: Tensor, normalised: bool) -> Tensor:
    """h and h_q."""
    return head(network.head, vectors(slot_encoder(network.pyramid, images), normalised))


def recognition(network: Any, x: Tensor, m: Tensor) -> list[Tensor]:
    """Maps of every stage for x and m [P, 1, H, W], concatenated as channels."""
    weight = torch.cat([network.target.weight, network.slot.weight], 1)
    return trunk(network.trunk, F.conv2d(torch.cat([cut(x), cut(m)], 1), weight, network.target.bias, padding=1))


def decoder(
    network: Any, z: Tensor, maps: list[Tensor], normalised: bool, draw: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """Logits [P, 1, H, W] for z [P, Z] and maps of P slots; draw: stage, features [P, h, w, C] → z_l [P, h, w, c]."""
    skips = [skip(F.relu(features)) for skip, features in zip(network.skips, maps, strict=True)]
    x = skips[-1]
    if z.shape[1]:
        both = torch.cat([z, vectors(maps, normalised)], 1)
        h = F.relu(F.linear(both, network.start.weight, network.start.bias))
        P, C, height, width = x.shape
        x = x + network.expand(h).view(P, height, width, C).permute(0, 3, 1, 2)
    for at in range(len(maps) - 1, -1, -1):
        if at < len(maps) - 1:
            expand = network.expansions[at]
            x = expanded(expand.weight, expand.bias, F.relu(x), tuple(maps[at].shape[2:])) + skips[at]
        if str(at) in network.levels:
            entered = network.levels[str(at)].entry(draw(at, F.relu(x).permute(0, 2, 3, 1)))
            x = x + entered.permute(0, 3, 1, 2)
        x = blocks(network.stages[at], x)
    pixels = F.conv2d(F.relu(x), network.pixels.weight, network.pixels.bias, padding=1)
    return F.pixel_shuffle(pixels, 2)[:, :, : network.size[0], : network.size[1]]


@dataclass
class Terms:
    """Of P samples: log p(x|z, m) [P], and of each latent, by its stage or "z", densities [P], KL [P] and noise."""

    log_px: Tensor = field(default_factory=lambda: torch.zeros(0))
    log_p: dict[Any, Tensor] = field(default_factory=dict)
    log_q: dict[Any, Tensor] = field(default_factory=dict)
    kl: dict[Any, Tensor] = field(default_factory=dict)
    noise: dict[Any, Tensor] = field(default_factory=dict)

    @property
    def log_weight(self) -> Tensor:
        """log p(x, z|m) − log q(z|x, m) [P]."""
        return self.log_px + sum(self.log_p.values()) - sum(self.log_q.values())

    def add(self, name: Any, value: Tensor, prior: Tensor, correction: Tensor) -> None:
        """A latent's densities for means and log standard deviations [P, …, 2c] of p, and what q adds to them."""
        p, q = (Normal(mean, scale.exp()) for mean, scale in (x.chunk(2, -1) for x in (prior, prior + correction)))
        self.log_p[name], self.log_q[name] = p.log_prob(value).flatten(1).sum(1), q.log_prob(value).flatten(1).sum(1)
        self.kl[name] = kl_divergence(q, p).flatten(1).sum(1)
        self.noise[name] = ((value - q.mean) / q.stddev).flatten(1)


def terms(model: Any, x: Tensor, m: Tensor, latents: dict[Any, Tensor]) -> Terms:
    """The terms of P samples of targets x and slots m [P, 1, H, W] at the latents given, by stage, and the vector "z".

    p(z_l|z_<l, m) sees the decoder's features alone; q(z_l|z_<l, x, m) adds a correction that sees both networks'.
    """
    normalised, found = model.config.normalised, Terms()
    maps, seen = slot_encoder(model.slot_encoder, m), recognition(model.recognition, x, m)
    z = latents["z"]
    if z.shape[1]:
        prior = head(model.prior, vectors(maps, normalised))
        found.add("z", z, prior, head(model.recognition.head, vectors(seen, normalised)) - prior)

    def draw(stage: int, features: Tensor) -> Tensor:
        level, other = model.decoder.levels[str(stage)], F.relu(seen[stage]).permute(0, 2, 3, 1)
        prior, share = level.both(features).chunk(2, -1)
        correction = share + level.evidence(other)
        if level.meeting is not None:
            hidden = level.both_hidden(features) + level.evidence_hidden(other)
            correction = correction + level.meeting(F.relu(hidden))
        found.add(stage, latents[stage], prior, correction)
        return latents[stage]

    logits = decoder(model.decoder, z, maps, normalised, draw)
    found.log_px = Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    return found


class Recorded:
    """Where latents come from, as `latents` says, and what came, by name."""

    def __init__(self, latents: Latents, names: Iterable[Any], drawn: dict[Any, Tensor]) -> None:
        self.latents, self.names, self.drawn = latents, iter(names), drawn

    def draw(self, prior: Tensor, posterior: Callable[[Tensor], Tensor] = as_seen) -> Tensor:
        """The next latent, noted."""
        z = self.latents.draw(prior, posterior)
        self.drawn[next(self.names)] = z
        return z


def record(model: Any) -> dict[Any, Tensor]:
    """A dictionary that holds, after a pass of the model, the latents that it has decoded: by stage, and "z"."""
    drawn: dict[Any, Tensor] = {}
    decode = model.decode

    def recording(latents: Latents, encoded: Any, slot: Tensor) -> Tensor:
        logits: Tensor = decode(Recorded(latents, ["z", *model.decoder.down], drawn), encoded, slot)
        return logits

    model.decode = recording
    return drawn
