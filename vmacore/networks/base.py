"""What a model asks of a family of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.errors import VmaError
from vmacore.latents import Latents
from vmacore.shelf import NETWORKS


class SlotEncoder(nn.Module, ABC):
    """The encoder over slots that p(z|m) and p(x|z, m) share: slots [T, …] → maps of every layer, finest first."""

    out_features: int

    @abstractmethod
    def forward(self, slots: Tensor) -> list[Tensor]: ...

    @abstractmethod
    def top(self, maps: list[Tensor]) -> Tensor:
        """The coarsest maps as vectors [T, F]."""


class Recognition(nn.Module, ABC):
    """q(z|x, m)."""

    @abstractmethod
    def slot_side(self, slots: Tensor) -> Tensor:
        """What it needs of slots [T, …], computed once a slot."""

    @abstractmethod
    def forward(self, targets: Tensor, slot_side: Tensor, target: Tensor, slot: Tensor) -> list[Tensor]:
        """Pairs of targets[target] and slot, indices [U] → parameters of q(z|x, m) [U, 2Z], then maps, finest first."""


class Decoder(nn.Module, ABC):
    """p(x|z, m).

    finer: numbers in latents finer than z. latent_names: what they all are called, coarse to fine.
    """

    finer: int = 0
    latent_names: tuple[str, ...] = ("z",)

    def evidence(self, recognised: list[Tensor]) -> list[Tensor]:
        """What x shows of each latent, coarse to fine, [U, …], of what `Recognition` returned."""
        return recognised

    @abstractmethod
    def slot_side(self, top: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """A slot's share of every layer, [T, …] each, of its top and its maps."""

    @abstractmethod
    def forward(self, z: Tensor, slot_side: list[Tensor], slot: Tensor | None, latents: Latents) -> Tensor:
        """z [P, Z] with slot [P] → logits [P, …]; slot None: a row for each z. latents: where finer ones come from."""


class Networks(ABC):
    """A family of networks of the sizes in a configuration."""

    static = False  # whether training is faster with tensors whose shapes do not depend on the addresses drawn

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.slot_shape: tuple[int, ...] = (1, *config.size)

    @property
    @abstractmethod
    def widest(self) -> int:
        """Maps at full resolution, or what is about as much: decides how many samples are decoded at a time."""

    @abstractmethod
    def encoder(self, out: int) -> nn.Module:
        """Images [N, 1, H, W] → vectors [N, out]: q(z|x) of models without a slot."""

    def finer_encoder(self, out: int) -> nn.Module:
        """Finer views [N, 1, 2H, 2W] → vectors [N, out].

        Raises:
            VmaError: the family has none.
        """
        raise VmaError(f"{self.config.network} networks see pixels alone: leave model.view out")

    def key(self, out: int) -> nn.Module:
        """h: slots [N, …] in the view of the configuration → vectors [N, out]."""
        return self.query(out)

    def query(self, out: int) -> nn.Module:
        """h_q."""
        return self.finer_encoder(out) if self.config.view == "finer" else self.encoder(out)

    @abstractmethod
    def recognition(self) -> Recognition: ...

    @abstractmethod
    def slot_encoder(self) -> SlotEncoder: ...

    @abstractmethod
    def prior(self, features: int) -> nn.Module:
        """p(z|m): the top of a slot encoder [T, F] → parameters [T, 2Z]."""

    @abstractmethod
    def decoder(self, features: int) -> Decoder: ...

    @abstractmethod
    def plain_decoder(self) -> nn.Module:
        """p(x|z), without a slot."""


def networks_for(config: ModelConfig) -> Networks:
    """The family that a configuration names."""
    family: type[Networks] = NETWORKS[config.network].Family
    return family(config)
