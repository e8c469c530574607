"""A family of networks: one linear layer for everything, and one for the slot beside z."""

from __future__ import annotations

from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.latents import Latents
from vmacore.networks import base
from vmacore.networks.layers import ConcatLinear, rows


class Options(ModelConfig):
    """The key that it reads."""

    biased: bool = True  # whether h and h_q have a bias


class SlotEncoder(base.SlotEncoder):
    """Slots as they are."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.out_features = pixels

    def forward(self, slots: Tensor) -> list[Tensor]:
        return [slots.flatten(1)]

    def top(self, maps: list[Tensor]) -> Tensor:
        return maps[-1]


class Recognition(base.Recognition):
    """q(z|x, m): a linear map of [x, m]."""

    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__()
        self.layer = ConcatLinear(pixels, pixels, 2 * latent)

    def slot_side(self, slots: Tensor) -> Tensor:
        return self.layer.right(slots.flatten(1))

    def forward(self, targets: Tensor, slot_side: Tensor, target: Tensor, slot: Tensor) -> list[Tensor]:
        return [rows(self.layer.left(targets.flatten(1)), target) + rows(slot_side, slot)]


class Decoder(base.Decoder):
    """p(x|z, m): a linear map of [z, m]."""

    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__()
        self.layer = ConcatLinear(latent, pixels, pixels)

    def slot_side(self, top: Tensor, maps: list[Tensor]) -> list[Tensor]:
        return [self.layer.right(top)]

    def forward(self, z: Tensor, slot_side: list[Tensor], slot: Tensor | None, latents: Latents) -> Tensor:
        return self.layer.left(z) + rows(slot_side[0], slot)


class Family(base.Networks):
    """Everything is one layer deep."""

    config: Options
    widest = 1

    def encoder(self, out: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(self.pixels, out, bias=self.config.biased))

    def slot_encoder(self) -> SlotEncoder:
        return SlotEncoder(self.pixels)

    def recognition(self) -> Recognition:
        return Recognition(self.pixels, self.config.latent)

    def prior(self, features: int) -> nn.Module:
        return nn.Linear(features, 2 * self.config.latent)

    def decoder(self, features: int) -> Decoder:
        return Decoder(self.pixels, self.config.latent)

    def plain_decoder(self) -> nn.Module:
        return nn.Linear(self.config.latent, self.pixels)

    @property
    def pixels(self) -> int:
        return self.config.size[0] * self.config.size[1]
