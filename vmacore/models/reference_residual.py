"""The residual model written plainly: a row for every (target, slot, sample), from the equations, nothing shared.

    log p(x, z|m) = log p(x|z, m) + Σ_l log p(z_l|z_<l, m)
    log q(z|x, m) = Σ_l log q(z_l|z_<l, x, m)               z_0 the vector, then maps from the coarsest to the finest

`VariationalMemoryAddressing` with residual networks must agree with this in values and gradients. A layer on 2×2
patches is here the convolution of the pixels that it amounts to, and what sees two things convolves their
concatenation. Parameters are read by the names that they have in the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.addressing import Addressing
from vmacore.config import ModelConfig
from vmacore.models.terms import LogTerms
from vmacore.networks import residual

Place = tuple[int, int]  # of a latent: the stage of the decoder, 0 the finest, and which of the stage's
VECTOR: Place = (-1, 0)  # of the latent that is a vector


@dataclass
class Ladder:
    """What drawing the latents of P samples gives.

    noise: standard normal numbers [P, N] not used yet. evidence: the recognition's maps of every stage, each
    [P, C, h, w]; None: latents are drawn from the prior. log_p, log_q, kl: log p(z_l|z_<l, m), log q(z_l|z_<l, x, m)
    and KL(q ‖ p) given z_<l of each latent [P], nats, by its stage and its place there; the vector's is `VECTOR`.
    """

    noise: Tensor
    evidence: list[Tensor] | None = None
    log_p: dict[Place, Tensor] = field(default_factory=dict)
    log_q: dict[Place, Tensor] = field(default_factory=dict)
    kl: dict[Place, Tensor] = field(default_factory=dict)

    def draw(self, level: Place, prior: Tensor, posterior: Tensor | None) -> Tensor:
        """z_l [P, n] from q, or from p where there is no q: mean and log standard deviation [P, 2n] of each."""
        mean_p, log_scale_p = prior.chunk(2, 1)
        mean, log_scale = (prior if posterior is None else posterior).chunk(2, 1)
        z = self.value(level, mean, log_scale)
        self.log_p[level], self.log_q[level] = _log_normal(z, mean_p, log_scale_p), _log_normal(z, mean, log_scale)
        variances = (2 * log_scale).exp() + (mean - mean_p) ** 2
        self.kl[level] = (log_scale_p - log_scale + variances / (2 * (2 * log_scale_p).exp()) - 0.5).sum(1)
        return z

    def value(self, level: Place, mean: Tensor, log_scale: Tensor) -> Tensor:
        """z_l [P, n] by the next numbers of the noise."""
        size = mean.shape[1]
        noise, self.noise = self.noise[:, :size], self.noise[:, size:]
        return mean + log_scale.exp() * noise


class ResidualReferenceModel:
    """The residual model for a memory of images, as a textbook would write it.

    parameters: those of the model by name.
    """

    def __init__(self, config: ModelConfig, parameters: Mapping[str, Tensor]) -> None:
        self.config, self.parameters = residual.Options.of(config), parameters
        self.stages = range(len(self.config.stages))
        self.drawn = [stage for stage in self.stages if self.config.latent_maps[stage]]
        layers = self.config.latent_layers or [1] * len(self.stages)
        self.levels = [VECTOR, *((stage, n) for stage in reversed(self.drawn) for n in range(layers[stage]))]

    def __call__(self, targets: Tensor, slots: Tensor, address: Tensor, noise: Tensor) -> tuple[Addressing, LogTerms]:
        """targets [B, 1, H, W], slots [S, 1, H, W], address [B, K], noise [B·K, N] of a standard normal.

        The numbers of each sample's noise go to the vector first, then to the maps from the coarsest to the finest, as
        [h, w, c].
        """
        K = address.shape[1]
        terms = self.terms(targets.repeat_interleave(K, 0), slots[address.flatten()], Ladder(noise))
        return self.address(targets, slots), LogTerms.of(terms, K)

    def address(self, targets: Tensor, slots: Tensor) -> Addressing:
        """q(a|x, M) and p(a|M) (equations 4 to 6)."""
        query_network = "key_network" if self.config.one_embedding else "query_network"
        e_a, e_x = self.embed("key_network", slots), self.embed(query_network, targets)
        e_p = self.parameters["query_point"]
        scores = torch.stack([(e_x * e).sum(1) / e.norm() for e in e_a], 1)  # [B, S]
        prior = torch.stack([(e_p * e).sum() / e.norm() for e in e_a])
        return Addressing(scores.log_softmax(1), prior.log_softmax(0))

    def terms(self, x: Tensor, m: Tensor, ladder: Ladder) -> Tensor:
        """Targets and slots [P, 1, H, W] → log p(x|z, m), log p(z|m), log q(z|x, m), then the KL of each latent, coarse
        to fine, at the latents that the ladder draws.

        All in nats [3 + latents, P]. log p(z|m) and log q(z|x, m) are sums over latents.
        """
        ladder.evidence = self.recognise(x, m)
        logits = self.decode(self.encode_slot(m), ladder)
        log_px = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        assert not ladder.noise.shape[1], "more noise than latents"
        log_pz = torch.stack([ladder.log_p[level] for level in ladder.kl]).sum(0)
        log_qz = torch.stack([ladder.log_q[level] for level in ladder.kl]).sum(0)
        kl = [ladder.kl.get(level, x.new_zeros(len(x))) for level in self.levels]
        return torch.stack([log_px, log_pz, log_qz, *kl])

    def generate(self, m: Tensor, noise: Tensor) -> Tensor:
        """Logits [P, 1, H, W] of images made from slots [P, 1, H, W], every latent drawn from its prior."""
        return self.decode(self.encode_slot(m), Ladder(noise))

    def embed(self, network: str, image: Tensor) -> Tensor:
        """h or h_q: images [P, 1, H, W] → their embeddings [P, E]."""
        normalised = self.config.normalised_embedding
        stem = self._stem(f"{network}.pyramid.stem", image)
        maps = self._trunk(f"{network}.pyramid.trunk", stem, normalised)
        return self._head(f"{network}.head", self._top(maps, normalised))

    def recognise(self, x: Tensor, m: Tensor) -> list[Tensor]:
        """The maps of q(z|x, m), down to the coarsest latent: a pyramid over x and m, concatenated as channels."""
        target, slot = self.parameters["recognition.target.weight"], self.parameters["recognition.slot.weight"]
        kernel = torch.cat([_kernel_of_stem(target), _kernel_of_stem(slot)], 1)  # [C, 2, 6, 6]
        bias = self.parameters["recognition.target.bias"]
        first = F.conv2d(_even(torch.cat([x, m], 1)), kernel, bias, stride=2, padding=2)
        seen = self.stages if self.config.latent else self.stages[: self.drawn[-1] + 1]
        return self._trunk("recognition.trunk", first, stages=seen)

    def encode_slot(self, m: Tensor) -> list[Tensor]:
        """The maps of the pyramid over slots at every stage."""
        return self._trunk("slot_encoder.trunk", self._stem("slot_encoder.stem", m))

    def decode(self, slot: list[Tensor], ladder: Ladder) -> Tensor:
        """Logits [P, 1, H, W] of p(x|z, m), every latent drawn on the way up."""
        sizes = [maps.shape[2:] for maps in slot]
        x = self._skip(self.stages[-1], slot)
        if self.config.latent:
            x = x + self._vector(slot, ladder)
        for stage in reversed(self.stages):
            if stage < self.stages[-1]:
                x = self._enlarged(f"decoder.expansions.{stage}", F.relu(x), sizes[stage]) + self._skip(stage, slot)
            if self.config.latent_maps[stage]:
                x = x + self._level(f"decoder.stages.{stage}.0.level", (stage, 0), F.relu(x), ladder)
            x = self._blocks(f"decoder.stages.{stage}.0.blocks", x, self.config.blocks[stage])
            for number in [n for at, n in self.levels if at == stage and n]:
                rung = f"decoder.stages.{stage}.{number}"
                x = x + self._level(f"{rung}.level", (stage, number), F.relu(x), ladder)
                x = self._blocks(f"{rung}.blocks", x, 1)
        H, W = self.config.size
        return F.pixel_shuffle(self._conv("decoder.pixels", F.relu(x)), 2)[:, :, :H, :W]

    def _vector(self, slot: list[Tensor], ladder: Ladder) -> Tensor:
        """What the latent that is a vector brings to the coarsest maps [P, C, h, w]."""
        top = self._top(slot)
        posterior = None
        if ladder.evidence is not None:
            posterior = self._head("recognition.head", self._top(ladder.evidence))
        z = ladder.draw(VECTOR, self._head("prior", top), posterior)
        h = F.relu(self._linear("decoder.start", torch.cat([z, top], 1)))
        height, width = slot[-1].shape[2:]
        return _maps_of(self._linear("decoder.expand", h), height, width)

    def _level(self, name: str, place: Place, features: Tensor, ladder: Ladder) -> Tensor:
        """What a latent brings to the maps of its stage [P, C, h, w], given the decoder's features there.

        The first half of the rows of `both` are the prior's. q's parameters are the prior's and, of the decoder's and
        the recognition's features concatenated, a linear map and an MLP.
        """
        height, width = features.shape[2:]
        (of_prior, of_share), (bias, bias_share) = (
            self.parameters[f"{name}.both.{kind}"].chunk(2) for kind in ("weight", "bias")
        )
        prior = _at_places(features, of_prior, bias)
        posterior = None
        if ladder.evidence is not None:
            seen = torch.cat([features, F.relu(ladder.evidence[place[0]])], 1)
            of_evidence = self.parameters[f"{name}.evidence.weight"]
            posterior = prior + _at_places(seen, torch.cat([of_share, of_evidence], 1), bias_share)
            if self.config.posterior_hidden:
                hidden = [self.parameters[f"{name}.{side}.weight"] for side in ("both_hidden", "evidence_hidden")]
                h = F.relu(_at_places(seen, torch.cat(hidden, 1), self.parameters[f"{name}.both_hidden.bias"]))
                out = self.parameters[f"{name}.hidden_out.weight"], self.parameters[f"{name}.hidden_out.bias"]
                posterior = posterior + _at_places(h, *out)
        parameters = [None if maps is None else _halves(maps) for maps in (prior, posterior)]
        assert parameters[0] is not None
        z = ladder.draw(place, parameters[0], parameters[1])
        entry = self.parameters[f"{name}.entry.weight"], self.parameters[f"{name}.entry.bias"]
        return _at_places(_maps_of(z, height, width), *entry)

    def _stem(self, name: str, image: Tensor) -> Tensor:
        kernel = _kernel_of_stem(self.parameters[f"{name}.weight"])
        return F.conv2d(_even(image), kernel, self.parameters[f"{name}.bias"], stride=2, padding=2)

    def _trunk(self, name: str, x: Tensor, normalised: bool = False, stages: range | None = None) -> list[Tensor]:
        maps: list[Tensor] = []
        for stage in stages or self.stages:
            if stage:
                weight, bias = self._weights(f"{name}.merges.{stage - 1}")
                kernel = weight.view(len(weight), 2, 2, -1).permute(0, 3, 1, 2)
                x = F.conv2d(_even(F.relu(maps[-1])), kernel, bias, stride=2)
            maps.append(self._blocks(f"{name}.stages.{stage}", x, self.config.blocks[stage], normalised))
        return maps

    def _blocks(self, name: str, x: Tensor, count: int, normalised: bool = False) -> Tensor:
        for block in range(count):
            x = self._block(f"{name}.{block}", x, normalised)
        return x

    def _block(self, name: str, x: Tensor, normalised: bool) -> Tensor:
        before = _normal(x, 1) if normalised else F.relu(x)
        return x + self._conv(f"{name}.second", F.relu(self._conv(f"{name}.first", before)))

    def _top(self, maps: list[Tensor], normalised: bool = False) -> Tensor:
        """The coarsest maps as vectors [P, F], place by place."""
        vector = F.relu(maps[-1]).permute(0, 2, 3, 1).flatten(1)
        return _normal(vector, 1) if normalised else vector

    def _skip(self, stage: int, slot: list[Tensor]) -> Tensor:
        return self._conv(f"decoder.skips.{stage}", F.relu(slot[stage]))

    def _enlarged(self, name: str, x: Tensor, size: torch.Size) -> Tensor:
        weight, bias = self._weights(name)
        kernel = weight.view(2, 2, -1, weight.shape[1]).permute(3, 2, 0, 1)  # [coarse, fine, 2, 2]
        maps = F.conv_transpose2d(x, kernel, stride=2) + bias.view(2, 2, -1).permute(2, 0, 1).repeat(1, *x.shape[2:])
        return maps[:, :, : size[0], : size[1]]

    def _head(self, name: str, vector: Tensor) -> Tensor:
        return self._linear(f"{name}.out", F.relu(self._linear(f"{name}.hidden", vector)))

    def _linear(self, name: str, vector: Tensor) -> Tensor:
        weight, bias = self._weights(name)
        return vector @ weight.T + bias

    def _conv(self, name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, *self._weights(name), padding=1)

    def _weights(self, name: str) -> tuple[Tensor, Tensor]:
        return self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]


def _kernel_of_stem(weight: Tensor) -> Tensor:
    """3×3 over 2×2 patches [C, 4, 3, 3] → 6×6 over pixels [C, 1, 6, 6]."""
    return F.pixel_shuffle(weight, 2)


def _even(x: Tensor) -> Tensor:
    """Zeros after the last row and column where their number is odd."""
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))


def _at_places(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear map of what stands at each place: [P, C, h, w] → [P, D, h, w]."""
    return F.conv2d(x, weight[:, :, None, None], bias)


def _halves(maps: Tensor) -> Tensor:
    """Means, then log standard deviations, each place by place: [P, 2c, h, w] → [P, 2·h·w·c]."""
    return torch.cat([half.permute(0, 2, 3, 1).flatten(1) for half in maps.chunk(2, 1)], 1)


def _maps_of(vector: Tensor, height: int, width: int) -> Tensor:
    """[P, h·w·C] → [P, C, h, w]."""
    return vector.view(len(vector), height, width, -1).permute(0, 3, 1, 2)


def _normal(x: Tensor, dimension: int) -> Tensor:
    """x with mean 0 and variance 1 over a dimension."""
    centred = x - x.mean(dimension, keepdim=True)
    return centred / (centred.square().mean(dimension, keepdim=True) + 1e-5).sqrt()


def _log_normal(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    standard = (z - mean) / log_scale.exp()
    return -(0.5 * standard**2 + log_scale + 0.5 * math.log(2 * math.pi)).sum(1)
