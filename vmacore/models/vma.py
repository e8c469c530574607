"""Variational memory addressing (Bornschein, Mnih, Zoran & Rezende, NIPS 2017), read top to bottom.

    a ~ p(a|M)          one slot
    z ~ p(z|m_a)        latent
    x ~ p(x|z, m_a)     pixels

    p(x|M) = Σ_a p(a|M) ∫ p(z|m_a) p(x|z, m_a) dz      (1)
    q(a, z|x, M) = q(a|x, M) q(z|x, m_a)               (3)

Numbers of equations, here and elsewhere, are the paper's.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vmacore.addressing import Addressing, address_prior
from vmacore.config import ModelConfig
from vmacore.config.sections import Embedding, Similarity
from vmacore.latents import Latents, Posterior, Prior
from vmacore.memory.encoded import EncodedMemory, EncodedSlots, LearnedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms, pixels_log_prob
from vmacore.networks.base import networks_for
from vmacore.networks.layers import initialise, rows
from vmacore.seeds import standard_normal

EMBEDDED_AT_ONCE = 256


class Options(ModelConfig):
    """The keys that it reads."""

    embedding: Embedding
    similarity: Similarity
    address_prior: Literal["learned", "flat"] = "learned"
    tied: bool = False  # h_q is h
    learned_slots: int = Field(0, ge=0)  # slots that are parameters; 0: memory comes with each episode
    slot_scale: float = Field(0.3, gt=0)  # standard deviation of the numbers in one that is a vector, at first

    @property
    def learns_slots(self) -> bool:
        return self.learned_slots > 0

    @property
    def one_embedding(self) -> bool:
        return self.tied

    def check(self) -> None:
        if self.tied and self.vector_slots:
            raise ValueError("learned slots here are vectors, which cannot share an embedding with images: untie")


class VariationalMemoryAddressing(GenerativeModel):
    """One hard address and one conditional VAE.

    What depends on a slot alone is computed once a slot, equal (target, address) pairs share q(z|x, m), and only the
    decoder runs for every sample. `vmacore.models.reference` is the same function with nothing shared, and
    `vmacore.models.reference_residual` that of residual networks.
    """

    addressed = True
    taught = False  # whether h and h_q learn from labels alone: no gradient of the bound reaches them
    config: Options

    def __init__(self, config: ModelConfig) -> None:
        config = Options.of(config)
        super().__init__(config)
        networks = networks_for(config)
        self.key_network = networks.key(config.embedding)
        query_network = networks.query(config.embedding)
        self.query_network: nn.Module | None = None if config.tied else query_network
        self.recognition = networks.recognition()
        self.slot_encoder = networks.slot_encoder()
        self.prior = networks.prior(self.slot_encoder.out_features)
        self.decoder = networks.decoder(self.slot_encoder.out_features)
        self.latent_names = self.decoder.latent_names
        initialise(self)
        # Zero makes p(a|M) flat at first, so that no slot is preferred before the keys mean anything.
        self.query_point = nn.Parameter(torch.zeros(config.embedding)) if config.address_prior == "learned" else None
        if config.learned_slots:
            self.learned_memory = LearnedMemory(config.learned_slots, self.slot_shape, config.slot_scale)

    # Addressing: p(a|M) and q(a|x, M).

    def keys(self, slots: Tensor) -> Tensor:
        """e_a = h(m_a) [S, E] of slots [S, …]."""
        return self._embeddings(self.key_network, slots)

    def queries(self, targets: Tensor) -> Tensor:
        """e_x = h_q(x) [B, E] of targets [B, 1, H, W]."""
        return self._embeddings(self.key_network if self.query_network is None else self.query_network, targets)

    def _embeddings(self, network: nn.Module, images: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not self.taught:
            embeddings: Tensor = network(images)
            return embeddings
        # A pyramid holds a few hundred times what an image does: without a gradient, only for some of them at a time.
        with torch.no_grad():
            return torch.cat([network(part) for part in images.split(EMBEDDED_AT_ONCE)])

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        """Read a memory of slots [S, …], once for all targets: keys and log p(a|M)."""
        self.check_slots(slots)
        if mask is not None:
            raise ValueError("this model reads one memory for all targets: no mask")
        keys = self.keys(slots)
        return EncodedMemory(self.pixels(slots), keys, address_prior(keys, self.query_point, self.config.similarity))

    def address(self, targets: Tensor, memory: EncodedMemory) -> Addressing:
        """q(a|x, M) and p(a|M) for targets [B, 1, H, W] (equations 4 to 6)."""
        self.check_targets(targets)
        return memory.address(self.queries(targets), self.config.similarity)

    # Generation and recognition, given the slot.

    def encode_slots(self, slots: Tensor) -> EncodedSlots:
        """What p(z|m), q(z|x, m) and p(x|z, m) need of slots [T, …]."""
        maps = self.slot_encoder(slots)
        top = self.slot_encoder.top(maps)
        return EncodedSlots(self.prior(top), self.recognition.slot_side(slots), self.decoder.slot_side(top, maps))

    def recognise(self, targets: Tensor, encoded: EncodedSlots, target: Tensor, slot: Tensor) -> list[Tensor]:
        """What x shows of each latent, for pairs (targets[target], encoded slot), both indices [U]."""
        return self.decoder.evidence(self.recognition(targets, encoded.recognition, target, slot))

    def decode(self, latents: Latents, encoded: EncodedSlots, slot: Tensor) -> Tensor:
        """Logits [P, D] of the pixels for slot indices [P] and latents drawn on the way."""
        z = latents.draw(rows(encoded.prior, slot))
        return self.decoder(z, encoded.decoder, slot, latents).flatten(1)

    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Logits [P, D] of images made from the slots at addresses [P], z ~ p(z|m_a)."""
        used, slot = address.unique(return_inverse=True)
        return self.decode(Prior(generator, temperature), self.encode_slots(memory.contents(used)), slot)

    def log_terms(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
        pathwise: bool = True,
    ) -> LogTerms:
        """Terms of log w [B, K] for z ~ q(z|x, m_a) at addresses [B, K]; chunks are in the order of their slots."""
        B, K = address.shape
        targets = self.pixels(targets)
        noise = standard_normal((B * K, self.config.latent + self.decoder.finer), generator, targets)
        target = torch.arange(B, device=address.device).repeat_interleave(K)
        flat = address.flatten()
        if chunk is None:
            return LogTerms.of(self._terms(targets, memory, target, flat, noise, pathwise), K)
        # In the order of their slots, so that a slot is encoded once, and half as many slots at a time as samples:
        # what is kept of a slot is about what decoding one sample holds.
        order = flat.argsort()
        place = flat[order].unique_consecutive(return_inverse=True)[1]
        parts = [
            self._terms(targets, memory, target[part], flat[part], noise[part], pathwise, chunk)
            for part in order.split((place // max(1, chunk // 2)).bincount().tolist())
        ]
        return LogTerms.of(torch.cat(parts, 1)[:, order.argsort()], K)

    def _terms(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        target: Tensor,
        address: Tensor,
        noise: Tensor,
        pathwise: bool,
        chunk: int | None = None,
    ) -> Tensor:
        """log p(x|z, m), log p(z|m), log q(z|x, m) and the KL of each latent for samples [P]: [3 + latents, P]."""
        used, slot, pair_target, pair_slot, pair = self._passes(target, address, len(memory))
        encoded = self.encode_slots(memory.contents(used))
        step = chunk or len(target)
        passes = torch.stack([pair_target, pair_slot]).split(step, 1)
        recognised = [self.recognise(targets, encoded, *part) for part in passes]
        seen = [torch.cat([part[level] for part in recognised]) for level in range(len(recognised[0]))]  # each [U, …]
        x = targets.flatten(1)
        parts = []
        for start in range(0, len(target), step):
            part = slice(start, start + step)
            evidence = [rows(level, pair[part]) for level in seen]
            latents = Posterior(evidence, noise[part], pathwise=pathwise)
            log_px = pixels_log_prob(self.decode(latents, encoded, slot[part]), rows(x, target[part]))
            parts.append(torch.stack([log_px, latents.log_p, latents.log_q, *latents.kl]))
        return torch.cat(parts, 1)

    def _passes(self, target: Tensor, address: Tensor, slots: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What runs for samples of targets `target` at `address`, indices [P], each of its own length:

        the slots to encode [T], and each sample's place among them [P]; the target [U] and the slot, as a place [U], of
        each pass of q(z|x, m), and each sample's pass [P].
        """
        if self.shares_passes:
            used, slot = address.unique(return_inverse=True)
            pairs, pair = (target * len(used) + slot).unique(return_inverse=True)
            return used, slot, pairs // len(used), pairs % len(used), pair
        each = torch.arange(len(address), device=address.device)
        if slots <= len(address):
            return each[:slots], address, target, address, each
        return address, each, target, each, each


MODEL = VariationalMemoryAddressing  # what `model.system` names by this file
