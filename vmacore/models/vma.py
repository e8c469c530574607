"""Variational memory addressing (Bornschein, Mnih, Zoran & Rezende, NIPS 2017), read top to bottom.

a ~ p(a|M)          one slot
z ~ p(z|m_a)        latent
x ~ p(x|z, m_a)     pixels                                     p(x|M) = Σ_a p(a|M) ∫ p(z|m_a) p(x|z, m_a) dz    (1)

q(a, z|x, M) = q(a|x, M) q(z|x, m_a)                                                                            (3)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vmacore.addressing import Addressing, address_prior
from vmacore.config import ModelConfig
from vmacore.memory import EncodedMemory, LearnedMemory, Templates
from vmacore.models.base import GenerativeModel
from vmacore.models.draws import Draws, normal, pixels_log_prob
from vmacore.models.levels import FromPosterior, FromPrior
from vmacore.nn import convolutional, fully_connected, residual_pyramid
from vmacore.nn.layers import MLP, initialise, rows
from vmacore.nn.residual_pyramid import Levels
from vmacore.seeds import standard_normal

EMBEDDED_AT_ONCE = 256


class VariationalMemoryAddressing(GenerativeModel):
    """One hard address and one conditional VAE.

    What depends on a slot alone is computed once a slot, equal (target, address) pairs share q(z|x, m), and only the
    decoder runs for every sample. `vmacore.models.reference` is the same function with nothing shared.
    """

    addressed = True
    # Slots that are drawn are encoded once, equal (target, address) pairs recognised once. Without, every slot and
    # every pair is: the same numbers, from tensors whose shapes do not depend on what is drawn, as CUDA graphs need.
    shares_passes = True
    finer = 0  # numbers in latents finer than z, at the resolutions of the decoder

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        Z, E = config.latent, config.embedding
        pixels = config.size[0] * config.size[1]
        if config.network == "convolutional":
            size, channels, hidden = config.size, config.channels, config.hidden
            self.key_network: nn.Module = convolutional.Embedding(size, channels, hidden, E)
            self.query_network: nn.Module = convolutional.Embedding(size, channels, hidden, E)
            self.recognition: nn.Module = convolutional.Recognition(size, channels, hidden, Z)
            template = convolutional.Template(size, channels)
            self.template: nn.Module = template
            self.prior: nn.Module = MLP(template.out_features, hidden, 2 * Z)
            self.decoder: nn.Module = convolutional.Decoder(size, channels, hidden, Z, template.out_features)
        elif config.network == "residual":
            shape = config.size, config.stages, config.blocks
            of_keys = config.normalised if config.normalised_embedding is None else config.normalised_embedding
            self.key_network = residual_pyramid.Embedding(*shape, of_keys, config.hidden, E)
            self.query_network = residual_pyramid.Embedding(*shape, of_keys, config.hidden, E)
            stages = *shape, config.normalised
            self.recognition = residual_pyramid.Recognition(*stages, config.hidden, Z)
            residual_template = residual_pyramid.Template(*stages)
            features = residual_template.out_features
            self.template = residual_template
            self.prior = residual_pyramid.gaussian_head(features, config.hidden, Z)
            self.decoder = residual_pyramid.Decoder(
                *stages, config.finer_latents, config.hidden, Z, features, config.meeting
            )
            self.finer = self.decoder.finer
        else:
            layers = config.layers
            if config.learned_slots:
                self.slot_shape = (config.slot,)
            slot = config.slot if config.learned_slots else pixels
            self.key_network = fully_connected.Embedding(slot, layers, E)
            self.query_network = fully_connected.Embedding(pixels, layers, E)
            self.recognition = fully_connected.Recognition(pixels, slot, layers, Z)
            flat_template = fully_connected.Template(slot, layers)
            self.template = flat_template
            self.prior = nn.Linear(flat_template.out_features, 2 * Z)
            self.decoder = fully_connected.Decoder(pixels, slot, layers, Z, config.skip)
        if config.tied:
            del self.query_network
        initialise(self)
        # Zero makes p(a|M) flat at first, so that no slot is preferred before the keys mean anything.
        self.query_point = nn.Parameter(torch.zeros(E)) if config.address_prior == "learned" else None
        if config.learned_slots:
            self.learned_memory = LearnedMemory(config.learned_slots, self.slot_shape, config.slot_scale)

    # Addressing: p(a|M) and q(a|x, M).

    def keys(self, slots: Tensor) -> Tensor:
        """e_a = h(m_a) [S, E] of slots [S, …]."""
        if torch.is_grad_enabled():
            keys: Tensor = self.key_network(slots)
            return keys
        # A pyramid holds a few hundred times what a slot does: without a gradient, only for some of them at a time.
        return torch.cat([self.key_network(part) for part in slots.split(EMBEDDED_AT_ONCE)])

    def queries(self, targets: Tensor) -> Tensor:
        """e_x = h_q(x) [B, E] of targets [B, 1, H, W]."""
        queries: Tensor = (self.key_network if self.config.tied else self.query_network)(targets)
        return queries

    def read(self, slots: Tensor, mask: Tensor | None = None) -> EncodedMemory:
        """Read a memory of slots [S, …], once for all targets: keys and log p(a|M)."""
        self.check_slots(slots)
        if mask is not None:
            raise ValueError("this model reads one memory for all targets: no mask")
        keys = self.keys(slots)
        return EncodedMemory(slots, keys, address_prior(keys, self.query_point, self.config.similarity))

    def address(self, targets: Tensor, memory: EncodedMemory) -> Addressing:
        """q(a|x, M) and p(a|M) for targets [B, 1, H, W] (equations 4 to 6)."""
        return memory.address(self.queries(targets), self.config.similarity)

    # Generation and recognition, given the slot.

    def templates(self, slots: Tensor) -> Templates:
        """What p(z|m), q(z|x, m) and p(x|z, m) need of slots [T, …]."""
        maps = self.template(slots)
        top = self.template.top(maps)  # type: ignore[operator]
        return Templates(
            prior=self.prior(top),
            recognition=self.recognition.memory_side(slots),  # type: ignore[operator]
            decoder=self.decoder.memory_side(top, maps),  # type: ignore[operator]
        )

    def latent_posterior(self, targets: Tensor, templates: Templates, target: Tensor, slot: Tensor) -> Tensor:
        """Parameters [U, 2Z] of q(z|x, m) for pairs (targets[target], template slot), both indices [U]."""
        return self.recognise(targets, templates, target, slot)[0]

    def recognise(
        self, targets: Tensor, templates: Templates, target: Tensor, slot: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """`latent_posterior`, and what the posteriors of finer latents see of x, if there are any.

        That is a tensor [U, h, w, …] for each stage of the decoder.
        """
        recognised = self.recognition(targets, templates.recognition, target, slot)
        if not isinstance(recognised, tuple):
            return recognised, []
        parameters, maps = recognised
        return parameters, self.decoder.evidence(maps) if self.finer else []  # type: ignore[operator]

    def decode(self, z: Tensor, templates: Templates, slot: Tensor, levels: Levels | None = None) -> Tensor:
        """Logits [P, D] of the pixels for z [P, Z] and template indices [P]; levels: where finer latents come from."""
        more = () if self.config.network != "residual" else (levels or FromPrior(),)
        return self.logits(z, templates.decoder, slot, *more).flatten(1)

    def draws(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
        pathwise: bool = True,
    ) -> Draws:
        """Terms of log w [B, K] for z ~ q(z|x, m_a) at addresses [B, K]; chunks are in the order of their slots.

        pathwise: let gradients pass through z into q(z|x, m); without, z is a constant in all terms.
        """
        B, K = address.shape
        noise = standard_normal((B * K, self.config.latent + self.finer), generator, targets)
        target = torch.arange(B, device=address.device).repeat_interleave(K)
        flat = address.flatten()
        if chunk is None:
            terms = self._draws(targets, memory, target, flat, noise, pathwise)
        else:
            # In the order of their slots, so that a slot is encoded once, and half as many slots at a time as samples:
            # what is kept of a slot is about what decoding one sample holds.
            order = flat.argsort(stable=True)
            place = flat[order].unique_consecutive(return_inverse=True)[1]
            parts = [
                self._draws(targets, memory, target[part], flat[part], noise[part], pathwise, chunk)
                for part in order.split((place // max(1, chunk // 2)).bincount().tolist())
            ]
            terms = torch.cat(parts, 1)[:, order.argsort()]
        terms = terms.view(-1, B, K)
        log_px, log_pz, log_qz, kl_z = terms[:4]
        return Draws(log_px, log_pz, log_qz, kl_z, terms[4:] if len(terms) > 4 else None)

    def generate(self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits [P, D] of images made from the slots at addresses [P], z ~ p(z|m_a)."""
        used, slot = address.unique(return_inverse=True)
        templates = self.templates(memory.contents(used))
        mean, log_scale = rows(templates.prior, slot).chunk(2, 1)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        z = mean + log_scale.exp() * noise
        return self.decode(z, templates, slot, FromPrior(generator))

    def _draws(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        target: Tensor,
        address: Tensor,
        noise: Tensor,
        pathwise: bool,
        chunk: int | None = None,
    ) -> Tensor:
        """The terms of `Draws` for samples of targets[target] at the addresses given, indices [P]: [4 + stages, P]."""
        used, slot, pair_target, pair_slot, pair = self._passes(target, address, len(memory))
        templates = self.templates(memory.contents(used))

        step = chunk or len(target)
        passes = zip(pair_target.split(step), pair_slot.split(step), strict=True)
        recognised = [self.recognise(targets, templates, *part) for part in passes]
        posterior = torch.cat([parameters for parameters, _ in recognised])  # [U, 2Z]
        evidence = [torch.cat(maps) for maps in zip(*(maps for _, maps in recognised), strict=True)]  # each [U, …]
        kl_z = kl_divergence(normal(posterior), normal(rows(templates.prior, pair_slot)))  # [U]

        q, p = normal(rows(posterior, pair)), normal(rows(templates.prior, slot))  # over R^Z, [P]
        z = q.base_dist.loc + q.base_dist.scale * noise[:, : posterior.shape[1] // 2]  # [P, Z]
        z = z if pathwise else z.detach()
        finer_noise = noise[:, z.shape[1] :]
        x = targets.flatten(1)
        none = z.new_zeros(len(z))
        warm = self.warm if self.finer else 1.0  # of z, where there are finer latents
        densities = [none, warm * p.log_prob(z), warm * q.log_prob(z)]
        terms = torch.stack([*densities, rows(kl_z, pair), *(none for _ in evidence)])
        parts = []
        for part in torch.arange(len(z), device=z.device).split(step):
            rows_of = part if pair is None else pair[part]
            levels = FromPosterior(evidence, rows_of, finer_noise[part], pathwise, self.warm)
            log_px = pixels_log_prob(self.decode(z[part], templates, slot[part], levels), rows(x, target[part]))
            parts.append(torch.cat([log_px[None], levels.terms]))
        return terms + torch.cat(parts, 1)

    def _passes(
        self, target: Tensor, address: Tensor, slots: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """What runs for samples of targets `target` at `address`, indices [P], each of its own length:

        the slots to encode [T], and each sample's place among them [P]; the target [U] and the slot, as a place [U], of
        each pass of q(z|x, m), and each sample's pass [P], None if they are the samples themselves.
        """
        if self.shares_passes:
            used, slot = address.unique(return_inverse=True)
            pairs, pair = (target * len(used) + slot).unique(return_inverse=True)
            return used, slot, pairs // len(used), pairs % len(used), pair
        if slots <= len(address):
            return torch.arange(slots, device=address.device), address, target, address, None
        each = torch.arange(len(address), device=address.device)
        return address, each, target, each, None
