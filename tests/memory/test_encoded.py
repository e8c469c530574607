"""What a model keeps of a memory."""

from __future__ import annotations

import torch

from vmacore.memory.encoded import EncodedMemory, LearnedMemory


def test_a_memory_is_as_long_as_it_has_slots() -> None:
    assert len(EncodedMemory(torch.zeros(7, 1, 8, 8), torch.zeros(7, 3), torch.zeros(7))) == 7


def test_learned_slots_start_at_random_as_one_parameter() -> None:
    torch.manual_seed(0)
    memory = LearnedMemory(40, (1, 8, 8))
    (slots,) = memory.parameters()
    assert memory() is slots
    assert slots.shape == (40, 1, 8, 8)
    assert slots.requires_grad
    assert 0 <= float(slots.detach().min()) < 0.01  # as ink is: between paper and full
    assert 0.99 < float(slots.detach().max()) <= 1
    assert len(slots.detach().unique(dim=0)) == 40
