"""What a model keeps of a memory once it has read it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vmacore.addressing import Addressing, address_posterior, query_side, slot_side
from vmacore.memory.streamed import StreamedAddressing
from vmacore.networks.layers import rows

# Scores [B, S], 64 MiB in float32, from which addressing is streamed where no gradient is asked for.
STREAMED_FROM = 2**24


@dataclass(frozen=True, eq=False)
class EncodedMemory:
    """A memory that has been read: what addressing needs of every slot, and the slots themselves.

    What generation needs of a slot is made from `slots` for the addresses that are drawn (`EncodedSlots`), so that a
    large memory costs no more than its drawings and keys.

    slots: contents m_a, images [S, 1, H, W] or vectors [S, D].
    keys: embeddings e_a = h(m_a) [S, E].
    log_prior: log p(a|M) [S], nats; of a model that draws no address 0 [1], for its one alternative.
    mask: bool [B, S], the slots that each target may see; None: all.
    """

    slots: Tensor
    keys: Tensor
    log_prior: Tensor
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.slots)

    def contents(self, index: Tensor) -> Tensor:
        """Contents [T, …] of the slots at index [T]."""
        return rows(self.slots, index)

    def address(self, queries: Tensor, similarity: str) -> Addressing:
        """q(a|x, M) and p(a|M) for queries [B, E]; the same whether all scores are held or streamed."""
        if not torch.is_grad_enabled() and len(queries) * len(self) >= STREAMED_FROM:
            return StreamedAddressing(slot_side(self.keys, similarity), query_side(queries, similarity), self.log_prior)
        return Addressing(address_posterior(self.keys, queries, similarity), self.log_prior)


@dataclass(frozen=True, eq=False)
class EncodedSlots:
    """All that q(z|x, m), p(z|m) and p(x|z, m) need of some slots [T], computed once a slot.

    prior: mean and log standard deviation of p(z|m) [T, 2Z].
    recognition: the slot's share of the first layer of q(z|x, m) [T, …].
    decoder: the slot's share of every layer of p(x|z, m), coarse to fine, each [T, …].
    """

    prior: Tensor
    recognition: Tensor
    decoder: list[Tensor]


class LearnedMemory(nn.Module):
    """Slots that are parameters, initialised at random and moved by the gradient (section 2).

    Images [1, H, W] start uniform in [0, 1], vectors normal with standard deviation `scale`. That decides how soft
    q(a|x) is at first, since alike slots have alike keys: from much smaller ones no address comes to mean anything for
    long, from much larger ones q(a|x) settles on a few slots before these mean anything, and the others die.
    """

    def __init__(self, slots: int, shape: tuple[int, ...], scale: float = 0.3) -> None:
        super().__init__()
        contents = torch.empty(slots, *shape)
        self.slots = nn.Parameter(
            nn.init.uniform_(contents) if len(shape) == 3 else nn.init.normal_(contents, std=scale)
        )

    def forward(self) -> Tensor:
        """The slots [S, …]."""
        return self.slots
