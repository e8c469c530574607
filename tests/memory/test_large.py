"""A memory kept as bits and keys in a file: what comes back, what is refused, and that models see no difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests import synthetic
from vmacore.addressing import slot_side
from vmacore.config import ModelConfig
from vmacore.data.sets import glyphs
from vmacore.errors import VmaError
from vmacore.memory.large import LargeMemory, fingerprint, open_memory, pack, packed_bytes, unpack, write_memory
from vmacore.models.vma import VariationalMemoryAddressing

CHARACTERS = synthetic.characters([30, 50, 41, 8])
SLOTS = len(CHARACTERS.images)


def _model(**changes: object) -> VariationalMemoryAddressing:
    torch.manual_seed(0)
    model = VariationalMemoryAddressing(synthetic.MODEL.model_copy(update=changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model


def _written(path: Path, model: VariationalMemoryAddressing) -> Path:
    file = path / "memory.safetensors"
    parts = CHARACTERS.images.split(50)
    write_memory(file, model, parts, SLOTS, labels=CHARACTERS.labels, classes=5)
    return file


def _images(characters: Tensor) -> Tensor:
    return characters.float()[:, None]


@pytest.mark.parametrize("size", [(8, 8), (5, 3), (26, 26), (1, 1)])
def test_bits_come_back(size: tuple[int, int]) -> None:
    images = (torch.rand(7, *size, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    bits = pack(images)
    assert bits.shape == (7, packed_bytes(size))
    assert bits.dtype == torch.uint8
    assert torch.equal(unpack(bits, size), images)
    assert torch.equal(pack(images.float()), bits)


def test_a_slot_of_the_papers_size_takes_85_bytes() -> None:
    assert packed_bytes((26, 26)) == 85


@pytest.mark.parametrize("pixel", [0.5, 2.0, -1.0, float("nan")])
def test_pixels_that_are_not_binary_are_refused(pixel: float) -> None:
    images = torch.zeros(3, 8, 8)
    images[2, 7, 7] = pixel
    with pytest.raises(VmaError, match="neither 0 nor 1"):
        pack(images)


@pytest.mark.parametrize("changes", [{}, {"address_prior": "flat"}, {"similarity": "inner"}, {"similarity": "cosine"}])
def test_a_memory_comes_back_from_its_file(tmp_path: Path, changes: dict[str, str]) -> None:
    model = _model(**changes)
    file = _written(tmp_path, model)
    memory = open_memory(file, model)
    whole = model.read(_images(CHARACTERS.images))
    assert len(memory) == SLOTS
    assert memory.size == (8, 8)
    assert memory.classes == 5
    assert memory.labels is not None
    assert torch.equal(memory.labels.long(), CHARACTERS.labels)
    torch.testing.assert_close(memory.keys, slot_side(whole.keys, model.config.similarity).detach())
    torch.testing.assert_close(memory.log_prior, whole.log_prior.detach())
    index = torch.tensor([5, 0, SLOTS - 1, 5])
    assert torch.equal(memory.contents(index), _images(CHARACTERS.images[index]))
    assert set(load_file(file)) == {"keys", "log_prior", "labels", "slots"}  # plain safetensors
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]
    assert file.stat().st_size < SLOTS * (8 + 4 * 8 + 4 + 4) + 1024


@torch.no_grad()
def test_models_see_no_difference(tmp_path: Path) -> None:
    model = _model()
    memory, whole = open_memory(_written(tmp_path, model), model), model.read(_images(CHARACTERS.images))
    targets = _images(synthetic.characters([2] * 3, seed=9).images)
    addressing, expected = model.address(targets, memory), model.address(targets, whole)
    torch.testing.assert_close(addressing.log_q, expected.log_q)
    torch.testing.assert_close(addressing.kl(), expected.kl())
    labels = CHARACTERS.labels
    torch.testing.assert_close(addressing.class_log_prob(labels, 5), expected.class_log_prob(labels, 5))
    address = expected.draw(40, torch.Generator().manual_seed(0))
    assert torch.equal(addressing.draw(40, torch.Generator().manual_seed(0)), address)
    for chunk in (None, 7):
        log_terms, same = (
            model.log_terms(targets, kind, address, torch.Generator().manual_seed(1), chunk) for kind in (memory, whole)
        )
        torch.testing.assert_close(vars(log_terms), vars(same))
    noise = [torch.Generator().manual_seed(2) for _ in range(2)]
    one, other = (model.generate(kind, address[0], own) for kind, own in zip((memory, whole), noise, strict=True))
    torch.testing.assert_close(one, other)


def test_keys_of_other_weights_are_refused(tmp_path: Path) -> None:
    model = _model()
    file = _written(tmp_path, model)
    generative = _model()
    with torch.no_grad():
        next(generative.decoder.parameters()).add_(1)  # no part of keys or p(a|M)
        assert fingerprint(generative) == fingerprint(model)
        open_memory(file, generative)
    others = [_model(similarity="inner"), _model(address_prior="flat"), _model(tied=True), _model(), _model()]
    with torch.no_grad():
        next(others[3].key_network.parameters())[0].add_(1e-6)
        assert others[4].query_network is not None  # the calibration in a memory's file is of its queries
        next(others[4].query_network.parameters())[0].add_(1e-6)
    for other in others:
        with pytest.raises(VmaError, match="other weights"):
            open_memory(file, other)


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, keep: int) -> None:
    model = _model()
    file = _written(tmp_path, model)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(VmaError, match=r"memory\.safetensors is missing or damaged"):
        open_memory(file, model)


def test_a_file_that_is_no_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="missing or damaged"):
        open_memory(tmp_path / "none.safetensors", _model())
    header = json.dumps({"__metadata__": {"format": "vma-memory 0"}}).encode()
    old = tmp_path / "old.safetensors"
    old.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(VmaError, match="has format 'vma-memory 0'"):
        open_memory(old, _model())


@pytest.mark.parametrize(
    ("images", "slots", "message"),
    [
        (torch.zeros(3, 8, 8), 4, "only 3 images"),
        (torch.zeros(5, 8, 8), 4, "more images than the 4"),
        (torch.zeros(4, 8, 9), 4, "the model reads"),
        (torch.full((4, 8, 8), 0.5), 4, "neither 0 nor 1"),
        (torch.zeros(0, 8, 8), 0, "at least one slot"),
    ],
)
def test_nothing_is_left_of_a_memory_that_cannot_be_written(
    tmp_path: Path, images: Tensor, slots: int, message: str
) -> None:
    with pytest.raises(VmaError, match=message):
        write_memory(tmp_path / "memory.safetensors", _model(), [images], slots)
    assert not list(tmp_path.iterdir())


def test_labels_must_be_classes(tmp_path: Path) -> None:
    for labels in (torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.tensor([0, 1, -1])):
        with pytest.raises(VmaError, match="labels must be"):
            write_memory(tmp_path / "m", _model(), [torch.zeros(3, 8, 8)], 3, labels=labels, classes=2)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmaError, match="cannot write"):
        write_memory(tmp_path / "file" / "memory", _model(), [torch.zeros(3, 8, 8)], 3)


def test_a_learned_memory_has_no_file(tmp_path: Path) -> None:
    config = ModelConfig(network="fully-connected", size=(8, 8), layers=(8, 8), latent=2, embedding=4, learned_slots=5)
    with pytest.raises(VmaError, match="learned"):
        write_memory(tmp_path / "memory", VariationalMemoryAddressing(config), [torch.zeros(3, 8, 8)], 3)


def test_progress_counts_slots(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    parts = CHARACTERS.images.split(50)
    write_memory(tmp_path / "m", _model(), parts, SLOTS, progress=lambda *counts: seen.append(counts))
    assert seen == [(50, SLOTS), (100, SLOTS), (SLOTS, SLOTS)]
    memory = open_memory(tmp_path / "m", _model())
    assert isinstance(memory, LargeMemory)
    assert memory.labels is None


def test_of_finer_views_keys_and_pixels_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layout = {"network": "residual", "stages": (4, 6), "blocks": (1, 1), "latent_maps": (1, 1), "embedding": 8}
    model = VariationalMemoryAddressing(ModelConfig(size=(26, 26), view="finer", **layout)).requires_grad_(False)
    shades = glyphs.make_alphabets(1, 2, 3, finer=True).images.float() / 4
    write_memory(tmp_path / "memory", model, [shades], 6)
    kept, whole = open_memory(tmp_path / "memory", model), model.read(shades[:, None])
    assert torch.equal(kept.contents(torch.arange(6)), whole.slots)
    log_q = [memory.address(model.queries(shades[:, None]), "normalised") for memory in (kept, whole)]
    address = torch.arange(6).expand(6, 6)
    torch.testing.assert_close(log_q[0].posterior_at(address), log_q[1].posterior_at(address))
    with pytest.raises(VmaError, match=r"the model reads \[52, 52\]"):
        write_memory(tmp_path / "other", model, [whole.slots[:, 0]], 6)
