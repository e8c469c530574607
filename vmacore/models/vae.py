"""The plain variational auto-encoder that the memory is measured against (section 4.2): same pyramids, no memory.

z ~ N(0, I),  x ~ p(x|z),  q(z|x)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.memory import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.draws import Draws, latent_draws
from vmacore.nn import convolutional, fully_connected
from vmacore.nn.layers import initialise


class VariationalAutoencoder(GenerativeModel):
    """Kingma & Welling 2014; with K samples, the importance weighted bound of Burda et al. 2016."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        Z, pixels = config.latent, config.size[0] * config.size[1]
        if config.network == "convolutional":
            shape = (config.size, config.channels, config.hidden)
            self.recognition: nn.Module = convolutional.Embedding(*shape, 2 * Z)
            self.decoder: nn.Module = convolutional.PlainDecoder(*shape, Z)
        else:
            self.recognition = fully_connected.Embedding(pixels, config.layers, 2 * Z)
            self.decoder = fully_connected.PlainDecoder(pixels, config.layers, Z)
        initialise(self)

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        """A memory that nothing is read from, whatever the slots."""
        return EncodedMemory(slots, slots.new_zeros(len(slots), 0), slots.new_zeros(1))

    def latent_posterior(self, targets: Tensor) -> Tensor:
        """Parameters [B, 2Z] of q(z|x) for targets [B, 1, H, W]."""
        parameters: Tensor = self.recognition(targets)
        return parameters

    def decode(self, z: Tensor) -> Tensor:
        """Logits [P, D] of the pixels for z [P, Z]."""
        return self.logits(z).flatten(1)

    def generate(self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits [P, D] of images, z ~ N(0, I); of `address` [P] only the shape counts."""
        like = memory.log_prior
        z = torch.randn(len(address), self.config.latent, generator=generator, dtype=like.dtype, device=like.device)
        return self.decode(z)

    def draws(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
    ) -> Draws:
        """Terms of log w [B, K] for z ~ q(z|x); of `address` [B, K] only the shape counts."""
        posterior = self.latent_posterior(targets)
        return latent_draws(posterior, targets, address.shape[1], lambda z, _: self.decode(z), generator, chunk)
