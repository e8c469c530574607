"""The generative matching network (Bartunov & Vetrov, arXiv:1612.02192), as their public code has it.

    z ~ p(z|X)                         latent, given a set X of images and one learned element
    x ~ p(x|z, X)                      pixels
    q(z|x, X)                          posterior

Each of the three reads the set by attention, in hops, with a query of its own: what is read and the state that asked
for it are all that a distribution sees of the set. No hard address: K samples are K latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vmacore.config import ModelConfig
from vmacore.config.sections import Channels, Embedding, Hidden
from vmacore.latents import Latents, Prior
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.terms import LogTerms, latent_log_terms
from vmacore.networks.layers import MLP, ConcatLinear, initialise
from vmacore.networks.strided_residual import ResidualDecoder, ResidualEncoder


class Options(ModelConfig):
    """The keys that it reads."""

    channels: Channels  # of the encoder
    hidden: Hidden  # size of a read's state
    embedding: Embedding
    hops: int = Field(1, ge=1)  # reads of the set before each of its distributions

    def check(self) -> None:
        if self.network != "convolutional":
            raise ValueError("the matching network is convolutional: leave model.network out")


@dataclass(frozen=True, eq=False, kw_only=True)
class EncodedSet(EncodedMemory):
    """A set that has been read. Its first element is the learned one, the other S are the slots.

    keys: of length 1, for the prior's, the recognition's and the likelihood's read [3, 1 + S, E].
    features: g of every element [1 + S, D].
    """

    features: Tensor

    @cached_property
    def visible(self) -> Tensor | None:
        """The elements that each target may see, bool [B, 1 + S], the learned one always; None: all."""
        return None if self.mask is None else F.pad(self.mask, (1, 0), value=True)


class SetRead(nn.Module):
    """One read of a set in hops: the state asks, attention answers, a GRU takes the answer into the state.

    The similarity is the cosine of query and key, times an inverse temperature that the state chooses.
    """

    def __init__(self, features: int, context: int, embedding: int, state: int, hops: int) -> None:
        super().__init__()
        self.hops = hops
        self.initial = nn.Parameter(nn.init.normal_(torch.empty(1, state), std=0.1))
        self.query = ConcatLinear(context, state, embedding)
        self.log_strength = nn.Linear(state, 1)
        self.update = nn.GRUCell(features, state)
        self.out_features = features + state

    def forward(self, keys: Tensor, features: Tensor, visible: Tensor | None, context: Tensor | None) -> Tensor:
        """What was read last and the state after it [P, D + H].

        keys [N, E] of length 1 and features [N, D] of the elements, visible bool [P, N] or None. context [P, C]: what
        the queries depend on beside the state; without one P is 1 where all elements are visible to all.
        """
        state = self.initial  # [1, H], and [P, H] as soon as targets differ
        asked = None if context is None else self.query.left(context)  # the same in all hops
        read = features[:1]
        for _ in range(self.hops):
            query = self.query.right(state) if asked is None else asked + self.query.right(state)
            logits = self.log_strength(state).exp() * (F.normalize(query, dim=1) @ keys.T)  # [P, N]
            if visible is not None:
                logits = logits.masked_fill(~visible, -torch.inf)
            read = logits.softmax(1) @ features
            state = self.update(read, state.expand(len(read), -1))
        return torch.cat([read, state], 1)


class GenerativeMatchingNetwork(GenerativeModel):
    """config.hidden is the size of a read's state, config.embedding of its keys, config.channels the encoder's maps.

    Encoder, keys and dummy serve all reads. What the set alone decides is computed once: features and keys, and where
    all targets see the same of it also p(z|X).
    """

    masked = may_see_nothing = True
    config: Options

    def __init__(self, config: ModelConfig) -> None:
        config = Options.of(config)
        super().__init__(config)
        Z, E, H = config.latent, config.embedding, config.hidden
        self.encoder = ResidualEncoder(config.size, config.channels)
        D = self.encoder.out_features
        self.dummy = nn.Parameter(nn.init.normal_(torch.empty(1, D), std=1 / D))
        self.keys = nn.Linear(D, 3 * E)
        self.prior_read = SetRead(D, 0, E, H, config.hops)
        self.recognition_read = SetRead(D, D, E, H, config.hops)
        self.likelihood_read = SetRead(D, Z, E, H, config.hops)
        self.prior = MLP(D + H, H, 2 * Z)
        self.recognition = MLP(2 * D + H, 2 * Z)
        self.decoder = ResidualDecoder(Z + D + H, config.size, config.channels)
        initialise(self)

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedSet:
        """Read a set of slots [S, 1, H, W], S = 0 included, once for all targets: features and keys.

        mask: bool [B, S], the slots that each target may see; the learned element is seen by all.

        Raises:
            ValueError: slots whose shape is not the model's, or a mask of another number of slots.
        """
        if slots.shape[1:] != self.slot_shape or (mask is not None and mask.shape[1:] != slots.shape[:1]):
            mine = f"the model reads [S, {self.slot_shape}] and masks [B, S]"
            raise ValueError(f"slots {list(slots.shape)}, mask {None if mask is None else list(mask.shape)}; {mine}")
        features = torch.cat([self.dummy, self.encoder(slots)]) if len(slots) else self.dummy
        keys = self.keys(features).view(len(features), 3, -1).transpose(0, 1)
        return EncodedSet(slots, F.normalize(keys, dim=2), slots.new_zeros(1), mask, features=features)

    def latent_prior(self, memory: EncodedSet) -> Tensor:
        """Parameters of p(z|X), [B, 2Z] for a memory with a mask and [1, 2Z] without."""
        return self.prior(self.prior_read(memory.keys[0], memory.features, memory.visible, None))

    def latent_posterior(self, targets: Tensor, memory: EncodedSet) -> Tensor:
        """Parameters [B, 2Z] of q(z|x, X) for targets [B, 1, H, W]."""
        # In a sequence every image is a target and a slot of those after it.
        known = targets is memory.slots
        features = memory.features[1:] if known else self.encoder(targets)
        read = self.recognition_read(memory.keys[1], memory.features, memory.visible, features)
        return self.recognition(torch.cat([features, read], 1))

    def decode(self, z: Tensor, memory: EncodedSet, target: Tensor | None = None) -> Tensor:
        """Logits [P, D] of the pixels for z [P, Z] and, of a memory with a mask, the targets [P] that see it so."""
        visible = memory.visible if memory.visible is None or target is None else memory.visible[target]
        read = self.likelihood_read(memory.keys[2], memory.features, visible, z)
        return self.decoder(torch.cat([z, read], 1))

    def log_terms(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
        pathwise: bool = True,
    ) -> LogTerms:
        """Terms of log w [B, K] for z ~ q(z|x, X); of `address` [B, K] only the shape counts."""
        assert isinstance(memory, EncodedSet)
        posterior, prior = self.latent_posterior(targets, memory), self.latent_prior(memory)

        def decode(latents: Latents, target: Tensor) -> Tensor:
            return self.decode(latents.draw(prior.expand(len(targets), -1)[target]), memory, target)

        return latent_log_terms(posterior, targets, address.shape[1], decode, generator, chunk)

    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Logits [P, D] of images, z ~ p(z|X); of `address` [P] only the shape counts.

        Raises:
            ValueError: a memory with a mask, which says nothing about images that are not there yet.
        """
        assert isinstance(memory, EncodedSet)
        if memory.mask is not None:
            raise ValueError("images are generated from a whole set: no mask")
        return self.decode(
            Prior(generator, temperature).draw(self.latent_prior(memory).expand(len(address), -1)), memory
        )


MODEL = GenerativeMatchingNetwork  # what `model.system` names by this file
