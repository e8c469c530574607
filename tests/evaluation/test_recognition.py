"""Recognisability and diversity by a judge and models that are rigged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests import synthetic
from vmacore.data.characters import Characters
from vmacore.evaluation.recognition import EACH, REFERENCES, WAY, recognise
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.vma import VariationalMemoryAddressing

DRAWINGS = 1 + REFERENCES + EACH


class Judge(VariationalMemoryAddressing):
    """Embeds an image by its first WAY + 2 pixels."""

    def keys(self, slots: Tensor) -> Tensor:
        return slots.flatten(1)[:, : WAY + 2]


class Copies(VariationalMemoryAddressing):
    """Draws its slot, or the one after it, with an odd pixel by the temperature."""

    shift = 0

    def generate(
        self, memory: EncodedMemory, address: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        images = memory.contents((address + self.shift) % WAY).flatten(1)
        images[:, WAY : WAY + 2] = 0
        odd = torch.arange(len(images)) % 2
        images[torch.arange(len(images)), WAY + odd] = 1.0 if temperature > 0.5 else 0.0
        return images - 0.5


def characters() -> Characters:
    """WAY classes, whose drawings have the pixel of their class and, in turn, one of two others."""
    images = torch.zeros(WAY, DRAWINGS, 64)
    images[torch.arange(WAY), :, torch.arange(WAY)] = 1
    images[:, 0::2, WAY] = 1
    images[:, 1::2, WAY + 1] = 1
    labels = torch.arange(WAY).repeat_interleave(DRAWINGS)
    return Characters(images.view(-1, 8, 8).byte(), labels, tuple(f"c{c}" for c in range(WAY)))


JUDGE, MODEL = Judge(synthetic.MODEL), Copies(synthetic.MODEL)


def test_real_drawings() -> None:
    real = recognise(JUDGE, characters(), episodes=50)
    assert float(real.recognised.mean()) > 0.99  # but where all five references have the other odd pixel
    # Two drawings of a class have cosine 1 if they share the odd pixel, 1/2 if not: 25 of 45 pairs of ten.
    assert float(real.spread.mean()) == pytest.approx(0.5 * 25 / 45, abs=0.02)


@pytest.mark.parametrize(("temperature", "spread"), [(1.0, 0.5 * 4 / 6), (0.5, 0.0)])
def test_copies_of_the_slot(temperature: float, spread: float) -> None:
    samples = recognise(JUDGE, characters(), MODEL, temperature=temperature, episodes=3)
    assert samples.recognised.tolist() == [1.0] * 3
    torch.testing.assert_close(samples.spread, torch.full((3,), spread).double(), atol=1e-6, rtol=0)


def test_copies_of_another_slot_are_not_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Copies, "shift", 1)
    assert recognise(JUDGE, characters(), MODEL, episodes=3).recognised.tolist() == [0.0] * 3


def test_the_seed_decides() -> None:
    first, same, other = (recognise(JUDGE, characters(), episodes=5, seed=seed).spread for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
