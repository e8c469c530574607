"""Variational memory addressing (Bornschein, Mnih, Zoran & Rezende, NIPS 2017), read top to bottom.

    a ~ p(a|M)          one slot
    z ~ p(z|m_a)        latent
    x ~ p(x|z, m_a)     pixels                                     p(x|M) = Σ_a p(a|M) ∫ p(z|m_a) p(x|z, m_a) dz    (1)

    q(a, z|x, M) = q(a|x, M) q(z|x, m_a)                                                                            (3)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vmacore.addressing import Addressing, address_posterior, address_prior
from vmacore.config import ModelConfig
from vmacore.memory import EncodedMemory, LearnedMemory, Templates
from vmacore.models.draws import Draws
from vmacore.nn import convolutional, fully_connected
from vmacore.nn.layers import MLP, initialise, rows


class VariationalMemoryAddressing(nn.Module):
    """One hard address and one conditional VAE.

    What depends on a slot alone is computed once a slot, equal (target, address) pairs share q(z|x, m), and only the
    decoder runs for every sample. `vmacore.models.reference` is the same function with nothing shared.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.size = config.size
        Z, E = config.latent, config.embedding
        pixels = config.size[0] * config.size[1]
        if config.network == "convolutional":
            size, channels, hidden = config.size, config.channels, config.hidden
            self.slot_shape: tuple[int, ...] = (1, *size)
            self.key_network: nn.Module = convolutional.Embedding(size, channels, hidden, E)
            self.query_network: nn.Module = convolutional.Embedding(size, channels, hidden, E)
            self.recognition: nn.Module = convolutional.Recognition(size, channels, hidden, Z)
            template = convolutional.Template(size, channels)
            self.template: nn.Module = template
            self.prior: nn.Module = MLP(template.out_features, hidden, 2 * Z)
            self.decoder: nn.Module = convolutional.Decoder(size, channels, hidden, Z, template.out_features)
        else:
            layers = config.layers
            self.slot_shape = (config.slot,) if config.learned_slots else (1, *config.size)
            slot = config.slot if config.learned_slots else pixels
            self.key_network = fully_connected.Embedding(slot, layers, E)
            self.query_network = fully_connected.Embedding(pixels, layers, E)
            self.recognition = fully_connected.Recognition(pixels, slot, layers, Z)
            flat_template = fully_connected.Template(slot, layers)
            self.template = flat_template
            self.prior = nn.Linear(flat_template.out_features, 2 * Z)
            self.decoder = fully_connected.Decoder(pixels, slot, layers, Z)
        initialise(self)
        # Zero makes p(a|M) flat at first, so that no slot is preferred before the keys mean anything.
        self.query_point = nn.Parameter(torch.zeros(E)) if config.address_prior == "learned" else None
        self.learned_memory = (
            LearnedMemory(config.learned_slots, self.slot_shape) if config.learned_slots else None
        )

    @property
    def bytes_per_sample(self) -> int:
        """About what decoding one sample holds at a time."""
        widest = self.config.channels[0] if self.config.network == "convolutional" else 4
        return 16 * self.size[0] * self.size[1] * widest

    # Addressing: p(a|M) and q(a|x, M).

    def keys(self, slots: Tensor) -> Tensor:
        """e_a = h(m_a) [S, E] of slots [S, …]."""
        keys: Tensor = self.key_network(slots)
        return keys

    def queries(self, targets: Tensor) -> Tensor:
        """e_x = h_q(x) [B, E] of targets [B, 1, H, W]."""
        queries: Tensor = self.query_network(targets)
        return queries

    def read(self, slots: Tensor) -> EncodedMemory:
        """Read a memory of slots [S, …], once for all targets.

        Raises:
            ValueError: slots whose shape is not the model's.
        """
        if slots.shape[1:] != self.slot_shape or not len(slots):
            raise ValueError(f"slots of shape {list(slots.shape)}, but the model reads [S, {self.slot_shape}]")
        keys = self.keys(slots)
        return EncodedMemory(slots, keys, address_prior(keys, self.query_point, self.config.similarity))

    def address(self, targets: Tensor, memory: EncodedMemory) -> Addressing:
        """q(a|x, M) and p(a|M) for targets [B, 1, H, W]."""
        log_q = address_posterior(memory.keys, self.queries(targets), self.config.similarity)
        return Addressing(log_q, memory.log_prior)

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
        parameters: Tensor = self.recognition(targets, templates.recognition, target, slot)
        return parameters

    def decode(self, z: Tensor, templates: Templates, slot: Tensor) -> Tensor:
        """Logits [P, D] of the pixels for z [P, Z] and template indices [P]."""
        logits: Tensor = self.decoder(z, templates.decoder, slot)
        return logits.flatten(1)

    def draws(
        self,
        targets: Tensor,
        memory: EncodedMemory,
        address: Tensor,
        generator: torch.Generator | None = None,
        chunk: int | None = None,
    ) -> Draws:
        """Terms of log w for z ~ q(z|x, m_a) at the addresses given.

        targets [B, 1, H, W], address int64 [B, K] → Draws of [B, K]. chunk: decode at most so many samples at a time,
        in the order of their slots, with the same noise whatever the chunk.
        """
        B, K = address.shape
        noise = torch.randn(
            B * K, self.config.latent, generator=generator, dtype=targets.dtype, device=targets.device
        )
        target = torch.arange(B, device=address.device).repeat_interleave(K)
        flat = address.flatten()
        if chunk is None or chunk >= B * K:
            terms = self._draws(targets, memory.slots, target, flat, noise)
        else:
            order = flat.argsort(stable=True)
            parts = [
                self._draws(targets, memory.slots, target[part], flat[part], noise[part])
                for part in order.split(chunk)
            ]
            terms = torch.cat(parts, 1)[:, order.argsort()]
        return Draws(*terms.view(4, B, K))

    def _draws(self, targets: Tensor, slots: Tensor, target: Tensor, address: Tensor, noise: Tensor) -> Tensor:
        """The four terms of `Draws` [4, P] for samples of targets[target] at slots[address], indices [P]."""
        used, slot = address.unique(return_inverse=True)  # slots that were drawn at all [T]; index into them [P]
        templates = self.templates(rows(slots, used))
        pairs, pair = (target * len(used) + slot).unique(return_inverse=True)  # distinct pairs [U]; index [P]
        pair_target, pair_slot = pairs // len(used), pairs % len(used)

        posterior = self.latent_posterior(targets, templates, pair_target, pair_slot)  # [U, 2Z]
        kl_z = kl_divergence(normal(posterior), normal(rows(templates.prior, pair_slot)))  # [U]

        q, p = normal(rows(posterior, pair)), normal(rows(templates.prior, slot))  # over R^Z, [P]
        z = q.base_dist.loc + q.base_dist.scale * noise  # [P, Z]
        logits = self.decode(z, templates, slot)
        log_px = pixels_log_prob(logits, rows(targets.flatten(1), target))
        return torch.stack([log_px, p.log_prob(z), q.log_prob(z), rows(kl_z, pair)])


def normal(parameters: Tensor) -> Independent:
    """Diagonal Gaussian [N] over R^Z from mean and log standard deviation [N, 2Z]."""
    mean, log_scale = parameters.chunk(2, dim=-1)
    return Independent(Normal(mean, log_scale.exp(), validate_args=False), 1, validate_args=False)


def pixels_log_prob(logits: Tensor, pixels: Tensor) -> Tensor:
    """log p(x) [N], nats, of binary pixels [N, D] under independent Bernoulli with logits [N, D]."""
    bernoulli = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)
    log_prob: Tensor = bernoulli.log_prob(pixels)
    return log_prob
