"""What a model keeps of a memory."""

from __future__ import annotations

import pytest
import torch

from vmacore.memory.encoded import EncodedMemory, LearnedMemory
from vmacore.memory.streamed import StreamedAddressing


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


@pytest.mark.parametrize(("slots", "streamed"), [(2**24 - 1, False), (2**24, True)])
def test_scores_are_streamed_from_64_mib_on(slots: int, streamed: bool) -> None:
    one = torch.zeros(1).expand(slots)  # no memory of its own
    memory = EncodedMemory(one[:, None], one[:, None], one)
    with torch.no_grad():
        assert isinstance(memory.address(torch.zeros(1, 1), "inner"), StreamedAddressing) == streamed


def test_learned_vectors_start_normal() -> None:
    torch.manual_seed(0)
    slots = LearnedMemory(2_000, (10,)).slots.detach()
    assert float(slots.mean()) == pytest.approx(0, abs=0.01)
    assert float(slots.std()) == pytest.approx(0.3, rel=0.03)
    assert float(LearnedMemory(2_000, (10,), 2.0).slots.detach().std()) == pytest.approx(2, rel=0.03)
