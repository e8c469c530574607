"""The same model written plainly: one batched pass over all B·K samples, concatenations, nothing shared.

`VariationalMemoryAddressing` must agree with this in values and gradients; benchmarks measure against it. Parameters
have the same names and shapes, so that weights load from one into the other. Residual networks stand in
`vmacore.models.reference_residual`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmacore.addressing import Addressing
from vmacore.config import ModelConfig
from vmacore.models import vma
from vmacore.models.terms import LogTerms
from vmacore.networks import convolutional, fully_connected
from vmacore.networks.convolutional import sizes_of


class ReferenceModel(nn.Module):
    """The convolutional or fully connected model for a memory of images, as a textbook would write it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        options = vma.Options.of(config)
        Z, E, tied = config.latent, options.embedding, options.tied
        self.query_point = nn.Parameter(torch.zeros(E))
        if isinstance(config, convolutional.Options):
            self.channels, self.hidden = config.channels, config.hidden
            self.key_network = self._pyramid_and_head(1, E)
            self.query_network = None if tied else self._pyramid_and_head(1, E)
            self.recognition = self._pyramid_and_head(2, 2 * Z)
            self.slot_encoder = nn.ModuleDict({"pyramid": self._pyramid(1)})
            features = self._features()
            self.prior: nn.Module = nn.Sequential(
                nn.Linear(features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 2 * Z)
            )
            self.decoder = nn.ModuleDict(
                {
                    "vector": nn.Linear(features, Z),
                    "start": nn.Linear(2 * Z, self.hidden),
                    "expand": nn.Linear(self.hidden, features),
                    "layers": self._upscaler(),
                }
            )
        else:
            D = config.size[0] * config.size[1]
            first, second = fully_connected.Options.of(config).layers
            self.key_network = nn.ModuleDict({"network": _mlp(D, first, second, E)})
            self.query_network = None if tied else nn.ModuleDict({"network": _mlp(D, first, second, E)})
            self.recognition = nn.ModuleDict({"first": nn.Linear(2 * D, first), "rest": _mlp(first, second, 2 * Z)})
            self.slot_encoder = nn.ModuleDict(
                {"layers": nn.ModuleList([nn.Linear(D, first), nn.Linear(first, second)])}
            )
            self.prior = nn.Linear(second, 2 * Z)
            layers = [nn.Linear(second + first, first), nn.Linear(first + D, D)]
            self.decoder = nn.ModuleDict({"start": nn.Linear(Z + second, second), "layers": nn.ModuleList(layers)})

    @property
    def h_q(self) -> nn.Module:
        """The network of queries, which may be that of keys."""
        return self.key_network if self.query_network is None else self.query_network

    def forward(self, targets: Tensor, slots: Tensor, address: Tensor, noise: Tensor) -> tuple[Addressing, LogTerms]:
        """targets [B, 1, H, W], slots [S, 1, H, W], address [B, K], noise [B·K, Z] of a standard normal."""
        K = address.shape[1]
        e_a, e_x = self.embed(self.key_network, slots), self.embed(self.h_q, targets)
        e_a = e_a / e_a.norm(dim=1, keepdim=True)
        addressing = Addressing((e_x @ e_a.T).log_softmax(1), (e_a @ self.query_point).log_softmax(0))

        m = slots[address].flatten(0, 1)  # [B·K, 1, H, W], encoded anew for every sample
        x = targets[:, None].expand(-1, K, -1, -1, -1).flatten(0, 1)
        prior, maps = self.encode_template(m)
        posterior = self.recognise(x, m)
        (mean_p, log_scale_p), (mean_q, log_scale_q) = prior.chunk(2, 1), posterior.chunk(2, 1)
        z = mean_q + log_scale_q.exp() * noise
        logits = self.decode(z, maps)
        log_px = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        log_pz, log_qz = _log_normal(z, mean_p, log_scale_p), _log_normal(z, mean_q, log_scale_q)
        ratio = (2 * (log_scale_q - log_scale_p)).exp()
        shift = ((mean_q - mean_p) / log_scale_p.exp()) ** 2
        kl_z = 0.5 * (ratio + shift - 1 - ratio.log()).sum(1)
        return addressing, LogTerms.of(torch.stack([log_px, log_pz, log_qz, kl_z]), K)

    def embed(self, network: nn.Module, images: Tensor) -> Tensor:
        """h or h_q."""
        if self.config.network == "convolutional":
            return _run_head(network, _run_pyramid(network["pyramid"], images)[-1])  # type: ignore[index]
        result: Tensor = network["network"](images.flatten(1))  # type: ignore[index]
        return result

    def recognise(self, x: Tensor, m: Tensor) -> Tensor:
        """Parameters of q(z|x, m)."""
        if self.config.network == "convolutional":
            first = F.relu(self.recognition["first"](torch.cat([x, m], 1)))
            return _run_head(self.recognition, _run_pyramid(self.recognition["pyramid"], first)[-1])
        first = F.relu(self.recognition["first"](torch.cat([x.flatten(1), m.flatten(1)], 1)))
        result: Tensor = self.recognition["rest"](first)
        return result

    def encode_template(self, m: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Parameters of p(z|m), and what p(x|z, m) takes from m."""
        if self.config.network == "convolutional":
            maps = _run_pyramid(self.slot_encoder["pyramid"], m)
            return self.prior(_nhwc(maps[-1])), maps
        maps = [m.flatten(1)]
        for layer in self.slot_encoder["layers"].children():
            maps.append(F.relu(layer(maps[-1])))
        return self.prior(maps[-1]), maps

    def decode(self, z: Tensor, maps: list[Tensor]) -> Tensor:
        """Logits of p(x|z, m), shaped like images."""
        H, W = self.config.size
        layers = self.decoder["layers"]
        if self.config.network == "convolutional":
            h = F.relu(self.decoder["start"](torch.cat([z, self.decoder["vector"](_nhwc(maps[-1]))], 1)))
            top = maps[-1]
            x = F.relu(self.decoder["expand"](h)).view(len(z), top.shape[2], top.shape[3], -1).permute(0, 3, 1, 2)
            skips = maps[::-1]
        else:
            x = self.decoder["start"](torch.cat([z, maps[-1]], 1))
            x, skips = F.relu(x), maps[-2::-1]
        for index, (layer, skip) in enumerate(zip(layers.children(), skips, strict=True)):
            x = layer(torch.cat([x, skip], 1))
            x = F.relu(x) if index < len(skips) - 1 else x
        return x.view(len(z), 1, H, W)

    def _pyramid(self, into: int, first: int = 0) -> nn.ModuleDict:
        channels = (into, *self.channels)
        return nn.ModuleDict(
            {
                "convolutions": nn.ModuleList(
                    nn.Conv2d(channels[layer], channels[layer + 1], 3, stride=1 + layer % 2, padding=1)
                    for layer in range(first, len(self.channels))
                )
            }
        )

    def _pyramid_and_head(self, into: int, outputs: int) -> nn.ModuleDict:
        head = nn.Sequential(nn.Linear(self._features(), self.hidden), nn.ReLU(), nn.Linear(self.hidden, outputs))
        if into == 1:
            return nn.ModuleDict({"pyramid": self._pyramid(1), "head": head})
        first = nn.Conv2d(into, self.channels[0], 3, padding=1)
        return nn.ModuleDict({"first": first, "pyramid": self._pyramid(1, first=1), "head": head})

    def _features(self) -> int:
        height, width = sizes_of(self.config.size, len(self.channels))[-1]
        return self.channels[-1] * height * width

    def _upscaler(self) -> nn.ModuleList:
        channels, layers = (1, *self.channels), []
        sizes = [self.config.size, *sizes_of(self.config.size, len(self.channels))]
        for layer in reversed(range(len(self.channels))):
            into, out = 2 * channels[layer + 1], channels[layer]
            if layer % 2:
                more = tuple(fine - 2 * coarse + 1 for fine, coarse in zip(sizes[layer], sizes[layer + 1], strict=True))
                layers.append(nn.ConvTranspose2d(into, out, 3, stride=2, padding=1, output_padding=more))  # type: ignore[arg-type]
            else:
                layers.append(nn.Conv2d(into, out, 3, padding=1))  # type: ignore[arg-type]
        return nn.ModuleList(layers)


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _run_pyramid(pyramid: nn.Module, x: Tensor) -> list[Tensor]:
    maps = []
    for convolution in pyramid["convolutions"]:  # type: ignore[index]
        x = F.relu(convolution(x))
        maps.append(x)
    return maps


def _run_head(network: nn.Module, top: Tensor) -> Tensor:
    result: Tensor = network["head"](_nhwc(top))  # type: ignore[index]
    return result


def _nhwc(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(1)


def _log_normal(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    standard = (z - mean) / log_scale.exp()
    return -(0.5 * standard**2 + log_scale + 0.5 * math.log(2 * math.pi)).sum(1)
