"""Memories of a million slots: bit-packed images and keys, written in a stream, mapped from their file when used.

A slot of 26×26 pixels is 85 bytes of image, 512 of key, 4 of log p(a) and 4 of class. Everything else that generation
needs of a slot is made from its image when it is drawn.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from vmacore.addressing import query_side, slot_side
from vmacore.errors import VmaError, cut, reason, writing
from vmacore.files import replacing
from vmacore.finite import finite
from vmacore.memory.encoded import EncodedMemory
from vmacore.memory.regions import header_of, write_at
from vmacore.memory.stored import check_slots
from vmacore.memory.streamed import Segments, StreamedAddressing
from vmacore.models.vma import VariationalMemoryAddressing

FORMAT = "vma-memory 1"
EMBEDDED = 256  # images that go through the key network at a time


def packed_bytes(size: tuple[int, int]) -> int:
    """Bytes of an image of that height and width."""
    return math.ceil(size[0] * size[1] / 8)


def pack(images: Tensor) -> Tensor:
    """Images [N, H, W] of 0 and 1 as bits, uint8 [N, ⌈HW/8⌉], the first pixel the highest bit.

    Raises:
        VmaError: a pixel that is neither 0 nor 1.
    """
    pixels = images.flatten(1)
    ink = pixels == 1
    if not bool((ink | (pixels == 0)).all()):
        raise VmaError("a large memory holds binary images, but some pixels are neither 0 nor 1: binarise them first")
    ink = F.pad(ink, (0, -pixels.shape[1] % 8)).view(len(ink), -1, 8)
    return (ink * (128 >> torch.arange(8, device=ink.device))).sum(2).to(torch.uint8)


def unpack(bits: Tensor, size: tuple[int, int]) -> Tensor:
    """Images uint8 [N, H, W] of bits [N, ⌈HW/8⌉]."""
    pixels = bits[:, :, None] >> torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device) & 1
    return pixels.flatten(1)[:, : size[0] * size[1]].view(len(bits), *size)


@dataclass(frozen=True, eq=False)
class LargeMemory(EncodedMemory):
    """A memory that is read and kept small; usable wherever an `EncodedMemory` is, without gradients.

    slots: bit-packed images, uint8 [S, ⌈HW/8⌉]; `contents` unpacks those asked for.
    keys: e_a [S, E] as `slot_side` returns them for the model's similarity.
    size: height and width in pixels.
    labels: int32 [S], the class of every slot, sorted where sums over classes are to be fast; None: unknown.
    classes: how many there are.
    """

    size: tuple[int, int] = field(kw_only=True)
    labels: Tensor | None = field(default=None, kw_only=True)
    classes: int = field(default=0, kw_only=True)

    def contents(self, index: Tensor) -> Tensor:
        """Images [T, 1, H, W] of the slots at index [T]."""
        return unpack(self.slots.index_select(0, index), self.size)[:, None].to(self.keys.dtype)

    def address(self, queries: Tensor, similarity: str) -> StreamedAddressing:
        """q(a|x, M) and p(a|M) for queries [B, E], streamed; the similarity is the one that the keys were made for."""
        return StreamedAddressing(self.keys, query_side(queries, similarity), self.log_prior, self.segments)

    @cached_property
    def segments(self) -> Segments:
        """Neighbouring slots of one class, the unit in which addressing is streamed."""
        return Segments.of(len(self), self.labels, self.keys.device)


def fingerprint(model: VariationalMemoryAddressing) -> str:
    """A hash of all that decides keys, queries and log p(a): h, h_q where it is another, query point and similarity."""
    digest = hashlib.sha256(repr((model.config.similarity, model.size)).encode())
    weights = {f"key_network.{name}": tensor for name, tensor in model.key_network.state_dict().items()}
    if model.query_network is not None:
        weights |= {f"query_network.{name}": tensor for name, tensor in model.query_network.state_dict().items()}
    if model.query_point is not None:
        weights["query_point"] = model.query_point
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {list(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def write_memory(
    path: Path,
    model: VariationalMemoryAddressing,
    images: Iterable[Tensor],
    slots: int,
    *,
    labels: Tensor | None = None,
    classes: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Read a memory of so many slots into a file; only one part of `images` is held at a time.

    images: parts [n, H, W] of 0 and 1 in the order of the slots, or of shades in [0, 1] where h sees a finer view, of
    which keys and pixels are kept. labels: the class of every slot, integers [slots], in 0 … classes − 1. The file is
    safetensors, appears whole or not at all, and names the weights that made its keys.
    progress(done, slots) counts slots.

    Raises:
        VmaError: pixels that are neither 0 nor 1, another number or size of images than promised, labels of another
            number or range, weights that give no numbers, a model with a learned memory, or a file that cannot be
            written.
    """
    if model.learned_memory is not None:
        raise VmaError("this model's memory is learned: a large memory is made with a few-shot model")
    if slots < 1:
        raise VmaError("a memory needs at least one slot")
    if labels is not None and (
        labels.shape != (slots,) or int(labels.min()) < 0 or int(labels.max()) >= max(classes, 1)
    ):
        raise VmaError(f"labels must be {slots} classes from 0 to {classes - 1}, one for each slot")
    regions = {
        "keys": ("F32", [slots, model.config.embedding], 4),
        "log_prior": ("F32", [slots], 4),
        **({"labels": ("I32", [slots], 4)} if labels is not None else {}),
        "slots": ("U8", [slots, packed_bytes(model.size)], 1),
    }
    described = {
        "format": FORMAT,
        "weights": fingerprint(model),
        "size": json.dumps(model.size),
        "classes": f"{classes}",
    }
    header, offsets = header_of(regions, described)
    with writing(path, "choose another path"), replacing(path) as file:
        file.write(header)
        scores = _write_slots(file, offsets, model, images, slots, progress)
        write_at(file, offsets["log_prior"], scores.log_softmax(0).float())
        if labels is not None:
            write_at(file, offsets["labels"], labels.int())


def _write_slots(
    file: BinaryIO,
    offsets: dict[str, int],
    model: VariationalMemoryAddressing,
    images: Iterable[Tensor],
    slots: int,
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    """Writes images and keys. Returns log p(a) [slots], float64, up to a constant."""
    device = next(model.parameters()).device
    width = packed_bytes(model.size)
    scores = torch.zeros(slots, dtype=torch.float64)
    done = 0
    for whole in images:
        for part in whole.split(EMBEDDED):
            if part.shape[1:] != model.image_shape[1:]:
                want = list(model.image_shape[1:])
                raise VmaError(f"slots are {list(part.shape[1:])} pixels, but the model reads {want}")
            if done + len(part) > slots:
                raise VmaError(f"there are more images than the {slots} slots that were promised")
            seen = part.to(device).float()[:, None]
            bits = pack(model.pixels(seen)[:, 0].cpu())
            keys = finite(slot_side(model.keys(seen), model.config.similarity), "keys of this memory")
            write_at(file, offsets["slots"] + done * width, bits)
            write_at(file, offsets["keys"] + done * 4 * keys.shape[1], keys.float())
            if model.query_point is not None:
                point = query_side(model.query_point[None], model.config.similarity)[0]
                scores[done : done + len(part)] = (keys @ point).cpu()
            done += len(part)
            if progress:
                progress(done, slots)
    if done < slots:
        raise VmaError(f"{slots} slots were promised, but there are only {done} images")
    return scores


def open_memory(path: Path, model: VariationalMemoryAddressing, device: torch.device | str = "cpu") -> LargeMemory:
    """A memory that `write_memory` wrote; on the processor it is mapped, so that only what is used is ever read.

    Its content has no checksum, which would take reading it all: a file is either whole or refused as too short.

    Raises:
        VmaError: absent, damaged, of another format, or with keys that other weights than the model's made.
    """
    described, memory, _ = read_memory(path, device)
    if described["weights"] != fingerprint(model):
        raise VmaError(f"{path} holds keys made by other weights than this model's: write the memory again")
    return memory


def read_memory(
    path: Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, str], LargeMemory, dict[str, Tensor]]:
    """What a file says of itself, its memory, and all of its tensors, whichever weights made its keys.

    Raises:
        VmaError: absent, damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            described = file.metadata() or {}
            if described.get("format") != FORMAT:
                raise VmaError(
                    f"{path} has format {cut(repr(described.get('format')))}, not {FORMAT!r}: write the memory again"
                )
            names = set(file.keys())
            stored = {name: file.get_tensor(name) for name in names}
        size, classes, _ = json.loads(described["size"]), int(described["classes"]), described["weights"]
        check_slots(stored, size, classes)
        memory = LargeMemory(
            slots=stored["slots"],
            keys=stored["keys"],
            log_prior=stored["log_prior"],
            size=(size[0], size[1]),
            labels=stored.get("labels"),
            classes=classes,
        )
    except VmaError:
        raise
    except Exception as error:  # whatever a damaged file makes the parsers meet
        raise VmaError(f"{path} is missing or damaged ({reason(error)}): write the memory again") from error
    return described, memory, stored
