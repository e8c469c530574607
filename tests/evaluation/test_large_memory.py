"""Scores and classes over one memory kept as bits and keys, against the same memory held whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests import synthetic
from vmacore.errors import VmaError
from vmacore.evaluation.large_memory import class_posterior, classify_by_memory, score_memory
from vmacore.evaluation.likelihood import score_targets
from vmacore.memory.large import LargeMemory, open_memory, write_memory
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

CHARACTERS = synthetic.characters([30, 50, 41, 8])
QUERIES = synthetic.characters([3] * 3, seed=4)
TARGETS = QUERIES.images.float()[:, None]


@pytest.fixture(scope="module")
def model() -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def memory(model: VariationalMemoryAddressing, tmp_path_factory: pytest.TempPathFactory) -> LargeMemory:
    file = tmp_path_factory.mktemp("memory") / "memory.safetensors"
    write_memory(file, model, [CHARACTERS.images], len(CHARACTERS.images), labels=CHARACTERS.labels, classes=5)
    return open_memory(file, model)


@torch.no_grad()
def test_score_equals_that_of_the_memory_held_whole(model: VariationalMemoryAddressing, memory: LargeMemory) -> None:
    whole = model.read(CHARACTERS.images.float()[:, None])
    means, nll = [], []
    for index, part in enumerate(TARGETS.split(4)):
        row, each = score_targets(model, part, whole, 6, generator(3, index, Stream.NOISE), 1000)
        means += [row] * len(part)
        nll.append(each)
    expected, each = torch.stack(means).double().mean(0), torch.cat(nll)
    seen: list[tuple[int, int]] = []
    score = score_memory(
        model, TARGETS, memory, samples=6, seed=3, batch=4, progress=lambda *counts: seen.append(counts)
    )
    names = ("nll", "reconstruction", "kl_address", "kl_latent", "prior_entropy", "posterior_entropy")
    # A KL near 0 is a difference of entropies near 4, in float32.
    assert [getattr(score, name) for name in names] == pytest.approx(expected.tolist()[:6], rel=1e-4, abs=1e-6)
    assert score.per_target == pytest.approx(each.tolist(), rel=1e-4)
    assert score.nll_se == pytest.approx(float(each.std()) / 3, rel=1e-3)
    assert score.elbo == pytest.approx(-(score.reconstruction + score.kl_address + score.kl_latent))
    assert (score.targets, score.slots, score.samples) == (9, len(CHARACTERS.images), 6)
    assert seen == [(4, 9), (8, 9), (9, 9)]
    # What decoding holds is no part of the result.
    assert score_memory(model, TARGETS, memory, samples=6, seed=3, batch=4, budget_bytes=1).nll == pytest.approx(
        score.nll, rel=1e-5
    )


@torch.no_grad()
def test_classes_are_sums_over_their_slots(model: VariationalMemoryAddressing, memory: LargeMemory) -> None:
    q = model.address(TARGETS, model.read(CHARACTERS.images.float()[:, None])).log_q.exp()
    expected = torch.stack([q[:, CHARACTERS.labels == c].sum(1) for c in range(5)], 1)
    found = class_posterior(model, TARGETS, memory)
    torch.testing.assert_close(found.exp(), expected)
    assert bool((found[:, 4] == -math.inf).all())  # a class without slots
    accuracy, half = classify_by_memory(model, TARGETS, QUERIES.labels, memory, batch=4)
    right = (expected.argmax(1) == QUERIES.labels).double()
    assert accuracy == pytest.approx(float(right.mean()))
    assert half == pytest.approx(1.96 * float(right.std()) / 3)


def test_what_cannot_be_measured_is_told(
    model: VariationalMemoryAddressing, memory: LargeMemory, tmp_path: Path
) -> None:
    write_memory(tmp_path / "plain", model, [CHARACTERS.images], len(CHARACTERS.images))
    with pytest.raises(VmaError, match="no classes"):
        class_posterior(model, TARGETS, open_memory(tmp_path / "plain", model))
    with pytest.raises(VmaError, match="at least 2"):
        classify_by_memory(model, TARGETS[:1], QUERIES.labels[:1], memory)
    for targets, samples in ((TARGETS[:1], 3), (TARGETS, 0)):
        with pytest.raises(VmaError, match="at least 2 targets, and at least 1"):
            score_memory(model, targets, memory, samples=samples)
