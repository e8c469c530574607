"""Soft attention over memory, the paper's baseline (section 4.2; after Bartunov & Vetrov 2016 and Li et al. 2016).

    z ~ N(0, I)                                latent, drawn first: attention may depend on generative variables only
    α = softmax_a s(z, m_a)                    attention weights
    m(z) = Σ_a α_a m_a                         what is read
    x ~ p(x|z, m(z)),  q(z|x)                  pixels; posterior

Which slot to read is part of z here, so its cost is part of KL(q(z|x) ‖ p(z)).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from vmacore.addressing import similarities
from vmacore.config import ModelConfig
from vmacore.config.sections import Embedding, Hidden, Similarity
from vmacore.latents import Latents, Prior
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms, latent_log_terms
from vmacore.networks.base import networks_for
from vmacore.networks.layers import MLP, initialise, mixed


class Options(ModelConfig):
    """The keys that it reads."""

    embedding: Embedding
    similarity: Similarity
    hidden: Hidden
    read: Literal["features", "pixels"] = "features"  # what the weights mix


class SoftAttention(GenerativeModel):
    """The encoder, decoder and key network of variational memory addressing, with a mixture for the hard address.

    config.read says what is mixed: "features", the slots' share of every decoder layer, which being linear is the same
    as mixing the maps of the slots' pyramids; or "pixels", the slots themselves, whose mixture is then encoded.
    """

    masked = True
    config: Options

    def __init__(self, config: ModelConfig) -> None:
        config = Options.of(config)
        super().__init__(config)
        networks = networks_for(config)
        self.key_network = networks.key(config.embedding)
        self.recognition = networks.encoder(2 * config.latent)
        self.slot_encoder = networks.slot_encoder()
        self.decoder = networks.decoder(self.slot_encoder.out_features)
        self.query_network = MLP(config.latent, config.hidden, config.embedding)
        initialise(self)

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        """Read a memory of slots [S, 1, H, W], once for all targets: their keys."""
        self.check_slots(slots)
        return EncodedMemory(slots, self.key_network(slots), slots.new_zeros(1), mask)

    def attention(self, z: Tensor, memory: EncodedMemory, target: Tensor) -> Tensor:
        """Weights α [P, S] for z [P, Z] of targets [P]; they sum to 1 over the slots that the target may see."""
        scores = similarities(memory.keys, self.query_network(z), self.config.similarity)
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask[target], -math.inf)
        return scores.softmax(1)

    def latent_posterior(self, targets: Tensor) -> Tensor:
        """Parameters [B, 2Z] of q(z|x) for targets [B, 1, H, W]."""
        return self.recognition(targets)

    def encode_slots(self, slots: Tensor) -> list[Tensor]:
        """What p(x|z, m) needs of slots [T, 1, H, W]: their share of every decoder layer, each [T, …]."""
        maps = self.slot_encoder(slots)
        return self.decoder.slot_side(self.slot_encoder.top(maps), maps)

    def decode(self, latents: Latents, target: Tensor, memory: EncodedMemory, encoded: list[Tensor] | None) -> Tensor:
        """Logits [P, D] for z ~ N(0, I) of targets [P]; encoded: those of all slots, where features are mixed."""
        z = latents.draw(memory.keys.new_zeros(len(target), 2 * self.config.latent))
        weights = self.attention(z, memory, target)
        if encoded is None:
            read = self.encode_slots(mixed(memory.slots, weights))
        else:
            read = [mixed(share, weights) for share in encoded]
        return self.decoder(z, read, None, latents).flatten(1)

    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Logits [P, D] of images, z ~ N(0, I) attending to the whole memory; of `address` only P counts."""
        target = torch.zeros_like(address)
        encoded = self.encode_slots(memory.slots) if self.config.read == "features" else None
        return self.decode(Prior(generator, temperature), target, memory, encoded)

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
        encoded = self.encode_slots(memory.slots) if self.config.read == "features" else None

        def decode(latents: Latents, target: Tensor) -> Tensor:
            return self.decode(latents, target, memory, encoded)

        return latent_log_terms(self.latent_posterior(targets), targets, address.shape[1], decode, generator, chunk)


MODEL = SoftAttention  # what `model.system` names by this file
