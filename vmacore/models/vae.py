"""The plain variational auto-encoder that the memory is measured against (section 4.2): same pyramids, no memory.

    z ~ N(0, I),  x ~ p(x|z),  q(z|x)

No slot is read: K samples are K latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vmacore.config import ModelConfig
from vmacore.latents import Latents, Prior
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms, latent_log_terms
from vmacore.networks.base import networks_for
from vmacore.networks.layers import initialise, rows


class VariationalAutoencoder(GenerativeModel):
    """Kingma & Welling 2014; with K samples, the importance weighted bound of Burda et al. 2016."""

    masked = may_see_nothing = True  # it looks at no memory

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        networks = networks_for(config)
        self.recognition = networks.encoder(2 * config.latent)
        self.decoder = networks.plain_decoder()
        initialise(self)

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        """A memory that nothing is read from, whatever the slots."""
        return EncodedMemory(slots, slots.new_zeros(len(slots), 0), slots.new_zeros(1))

    def latent_posterior(self, targets: Tensor) -> Tensor:
        """Parameters [B, 2Z] of q(z|x) for targets [B, 1, H, W]."""
        return self.recognition(targets)

    def decode(self, latents: Latents, like: Tensor) -> Tensor:
        """Logits [P, D] of the pixels for z ~ N(0, I), P and type as of `like` [P, …]."""
        return self.decoder(latents.draw(like.new_zeros(len(like), 2 * self.config.latent))).flatten(1)

    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Logits [P, D] of images, z ~ N(0, I); of `address` [P] only the shape counts."""
        return self.decode(Prior(generator, temperature), memory.log_prior.expand(len(address)))

    def log_terms(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
        pathwise: bool = True,
    ) -> LogTerms:
        """Terms of log w [B, K] for z ~ q(z|x); of `address` [B, K] only the shape counts."""

        def decode(latents: Latents, target: Tensor) -> Tensor:
            return self.decode(latents, rows(targets, target))

        return latent_log_terms(self.latent_posterior(targets), targets, address.shape[1], decode, generator, chunk)


MODEL = VariationalAutoencoder  # what `model.system` names by this file
