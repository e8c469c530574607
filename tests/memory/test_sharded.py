"""A memory in three shards answers as it does whole: probabilities, draws, contents and what a model makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import chisquare
from torch import Tensor

from tests.processes import together
from vmacore.addressing import Addressing, query_side, slot_side
from vmacore.config import ModelConfig
from vmacore.distributed import rank, world_size
from vmacore.memory.encoded import EncodedMemory
from vmacore.memory.large import LargeMemory, pack
from vmacore.memory.sharded import ShardedAddressing, join, split
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

SLOTS, CLASSES, SHARDS = 500, 20, 3
SIZE = (8, 8)
CONFIG = ModelConfig(size=SIZE, network="fully-connected", layers=(8, 8), latent=4, embedding=6)
# Sharp enough that some shards hold next to nothing of a query's mass, and flat enough that others share it.
TEMPERATURES = torch.tensor([0.1, 1.0, 4.0, 20.0])
DRAWN = 20_000


def _model() -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(CONFIG).double().requires_grad_(False)
    assert model.query_point is not None
    model.query_point.copy_(torch.randn(6))
    return model


def _images() -> Tensor:
    return (torch.rand(SLOTS, *SIZE, generator=torch.Generator().manual_seed(1)) < 0.4).double()


def _memory(kind: str) -> EncodedMemory:
    model, images = _model(), _images()
    plain = model.read(images[:, None])
    if kind == "plain":
        return plain
    labels = torch.arange(SLOTS, dtype=torch.int32) * CLASSES // SLOTS
    keys = slot_side(plain.keys)
    return LargeMemory(pack(images), keys, plain.log_prior, size=SIZE, labels=labels, classes=CLASSES)


def _part(first: int, end: int) -> EncodedMemory:
    """What a process has that reads only those slots."""
    return _model().read(_images()[first:end, None])


def _queries() -> Tensor:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(4, 6, generator=draw, dtype=torch.float64) * TEMPERATURES[:, None]


def _answers(kind: str) -> dict[str, Tensor]:
    """All that can be asked, of the memory whole in one process and of its shards in several."""
    if world_size() == 1:
        memory = _memory("plain" if kind == "joined" else kind)
    elif kind == "joined":  # parts of unequal length, read by those who hold them
        edges = [0, 120, 121, SLOTS]
        memory = join(_part(*edges[rank() : rank() + 2]), _model())
    else:
        memory = split(_memory(kind))
    addressing = memory.address(_queries(), "normalised")
    assert isinstance(addressing, ShardedAddressing if world_size() > 1 else Addressing)
    address = addressing.draw(DRAWN, generator(0, 0, Stream.NOISE))
    some = address[:, :7]
    first = getattr(memory, "first", 0)
    labels = torch.arange(SLOTS)[first : first + len(memory.keys)] * CLASSES // SLOTS
    model, targets = _model(), _images()[:5, None]
    with torch.no_grad():
        own = model.address(targets, memory)
        theirs = own.draw(6, generator(0, 1, Stream.NOISE))
        log_terms = model.log_terms(targets, memory, theirs, generator(0, 2, Stream.NOISE))
    return {
        "log_q": addressing.log_q,
        "log_p": addressing.log_p,
        "posterior_at": addressing.posterior_at(some),
        "log_weight": addressing.log_weight(some),
        "class_log_prob": addressing.class_log_prob(labels, CLASSES),
        "kl": addressing.kl(),
        "posterior_entropy": addressing.posterior_entropy(),
        "prior_entropy": addressing.prior_entropy(),
        "address": address,
        "prior_address": addressing.draw_prior((50, 400), generator(0, 3, Stream.NOISE)),
        "contents": memory.contents(address[:, :9].flatten()),
        "bound": (log_terms.log_weight + own.log_weight(theirs)).logsumexp(1),
    }


KINDS = ("plain", "large", "joined")


def _write_answers(folder: Path) -> None:
    for kind in KINDS:
        answers = {name: tensor.contiguous() for name, tensor in _answers(kind).items()}
        save_file(answers, folder / f"{kind}-{rank()}.safetensors")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three processes answer, by kind of memory and process."""
    folder = tmp_path_factory.mktemp("shards")
    together(SHARDS, folder, _write_answers, folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_shards_answer_as_the_whole_does(sharded: Path, kind: str) -> None:
    whole = _answers(kind)
    for number in range(SHARDS):
        found = load_file(sharded / f"{kind}-{number}.safetensors")
        assert found.keys() == whole.keys()
        for name, expected in whole.items():
            if name.endswith("address") or name == "contents":  # the same random numbers, the same slots
                assert torch.equal(found[name], expected), name
            else:
                torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-12, msg=f"{name}: {{}}".format)


def test_draws_follow_the_posterior(sharded: Path) -> None:
    answers = load_file(sharded / "large-0.safetensors")
    for log_q, address in zip(answers["log_q"], answers["address"], strict=True):
        expected, counts = log_q.exp() * DRAWN, address.bincount(minlength=SLOTS).double()
        common = expected >= 5
        assert bool(common.any())
        rest = torch.stack([counts[~common].sum(), expected[~common].sum()])
        observed, wanted = torch.cat([counts[common], rest[:1]]), torch.cat([expected[common], rest[1:]])
        if float(wanted[-1]) < 5:
            observed, wanted = observed[:-1], wanted[:-1] * (observed[:-1].sum() / wanted[:-1].sum())
        if len(observed) > 1:
            assert chisquare(observed.numpy(), wanted.numpy()).pvalue > 1e-4


def test_every_process_holds_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = _memory("large")
    monkeypatch.setattr("vmacore.memory.sharded.world_size", lambda: SHARDS)
    parts = []
    for number in range(SHARDS):
        monkeypatch.setattr("vmacore.memory.sharded.rank", lambda number=number: number)
        parts.append(split(memory))
    assert sum(len(part.slots) for part in parts) == SLOTS
    assert max(len(part.slots) for part in parts) <= SLOTS // SHARDS + 1
    assert all(len(part) == SLOTS for part in parts)
    assert torch.equal(torch.cat([part.keys for part in parts]), memory.keys)


def test_what_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = _memory("plain")
    masked = EncodedMemory(memory.slots, memory.keys, memory.log_prior, torch.ones(2, SLOTS, dtype=torch.bool))
    with pytest.raises(ValueError, match="without a mask"):
        split(masked)
    with pytest.raises(ValueError, match="without a mask"):
        join(masked, _model())
    monkeypatch.setattr("vmacore.memory.sharded.world_size", lambda: SLOTS + 1)
    with pytest.raises(ValueError, match="at least one slot"):
        split(memory)


def test_one_process_is_a_shard_of_everything() -> None:
    whole, alone = _memory("large"), split(_memory("large"))
    queries = query_side(_queries())
    found, expected = alone.address(queries, "normalised"), whole.address(queries, "normalised")
    torch.testing.assert_close(found.log_q, expected.log_q, rtol=0, atol=1e-14)
    assert torch.equal(found.draw(9, generator(0, 0, Stream.NOISE)), expected.draw(9, generator(0, 0, Stream.NOISE)))
