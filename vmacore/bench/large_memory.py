"""Measuring large memories: slots made of few drawings, what a memory of them costs, a query beside its product."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.addressing import query_side
from vmacore.bench.timing import in_turns, medians
from vmacore.data.characters import Characters
from vmacore.errors import VmaError
from vmacore.evaluation.large_memory import MemoryScore, classify_by_memory, score_memory
from vmacore.files import replace
from vmacore.memory.large import LargeMemory, fingerprint, open_memory, write_memory
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.seeds import Stream, generator

SHIFT, SLANT = 2.0, 0.25  # of a drawing at most: pixels each way, and pixels sideways for each pixel up or down
PART = 4096  # slots made at a time
AT_A_TIME = 1, 32  # targets of a query


@dataclass(frozen=True, eq=False)
class Variants:
    """As many slots as wanted, made of the drawings of some classes by random shifts and slants; and targets.

    Of every class, `held` drawings are targets and no slot is made from them; the others take turns. Slots stand in the
    order of their classes, as many of each as can be.

    Raises:
        VmaError: fewer slots than classes, a class with no drawing left over, or drawings that are not binary.
    """

    characters: Characters
    slots: int
    held: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.slots < self.characters.n_classes:
            raise VmaError(f"{self.slots} slots asked for, but there are {self.characters.n_classes} classes")
        if not 1 <= self.held < int(self.characters.counts.min()):
            raise VmaError("every class needs a drawing for the targets and one for the slots")
        if self.characters.levels > 1 and not self.characters.finer:
            raise VmaError("slots are made of binary drawings: pass characters.binarised(seed)")

    @property
    def labels(self) -> Tensor:
        """The class of every slot [slots], sorted."""
        return torch.arange(self.slots) * self.characters.n_classes // self.slots

    @property
    def target_index(self) -> Tensor:
        """Which drawings are targets, class by class [C · held]."""
        return (self.characters.offsets[:-1, None] + torch.arange(self.held)).flatten()

    @property
    def source_index(self) -> Tensor:
        """The drawing that every slot is made from [slots]."""
        labels, counts = self.labels, self.characters.counts - self.held
        within = torch.arange(self.slots) - torch.searchsorted(labels, labels)
        return self.characters.offsets[labels] + self.held + within % counts[labels]

    def parts(self) -> Iterator[Tensor]:
        """The slots in order, parts [n, H, W] of 0 and 1, or of shades in [0, 1]."""
        for index, source in enumerate(self.source_index.split(PART)):
            images = self.characters.images[source]
            moved = shifted_and_slanted(images, self.characters.size, generator(self.seed, index, Stream.PIXELS))
            yield moved / self.characters.levels if self.characters.finer else moved


def shifted_and_slanted(images: Tensor, size: tuple[int, int], noise: torch.Generator) -> Tensor:
    """Images [N, H, W], each shifted by up to SHIFT pixels of x and slanted by up to SLANT; levels stay as they are.

    size: H and W of x.
    """
    N, (H, W) = len(images), size
    shift, slant = (2 * torch.rand(N, count, generator=noise) - 1 for count in (2, 1))
    shift = SHIFT * shift * torch.tensor([2 / W, 2 / H])  # affine maps are of a square from −1 to 1
    slant = SLANT * slant * H / W
    one, zero = torch.ones(N, 1), torch.zeros(N, 1)
    affine = torch.cat([one, slant, shift[:, :1], zero, one, shift[:, 1:]], 1).view(N, 2, 3)
    grid = F.affine_grid(affine, [N, 1, *images.shape[1:]], align_corners=False)
    moved = F.grid_sample(images.float()[:, None], grid, mode="nearest", align_corners=False)
    return moved[:, 0].to(torch.uint8)


@dataclass(frozen=True)
class QueryTimes:
    """Medians in seconds, for so many targets at a time.

    query: log q(c|x) of every class from the embedded targets. product: the matrix product of all keys and the targets,
    and nothing else, in blocks or as one call, whichever is faster. embedding: targets through the query network.
    ratio: median over rounds of query / product.
    """

    targets: int
    query: float
    product: float
    embedding: float
    ratio: float


@torch.no_grad()
def query_times(
    model: VariationalMemoryAddressing, memory: LargeMemory, targets: Tensor, *, rounds: int = 9
) -> QueryTimes:
    """Time a classification query of targets [B, 1, H, W] beside its bare matrix product, in turns.

    Raises:
        VmaError: a memory whose slots have no classes.
    """
    if memory.labels is None:
        raise VmaError("this memory's slots have no classes: write it with labels")
    labels, similarity = memory.labels, model.config.similarity
    queries = model.queries(targets)
    into = query_side(queries, similarity).T.contiguous()
    parts = memory.keys.split(2048 if len(targets) > 1 else 2**18)
    scores = into.new_empty(len(parts[0]), len(targets))

    def query() -> Tensor:
        return memory.address(queries, similarity).class_log_prob(labels, memory.classes)

    def in_blocks() -> None:
        for part in parts:
            torch.mm(part, into, out=scores[: len(part)])

    calls = {"query": query, "blocks": in_blocks, "whole": lambda: memory.keys @ into}
    in_turns(calls, rounds=1)  # the file is mapped: the first round reads it
    seconds = in_turns(calls, rounds=rounds)
    # Calls that last microseconds are not slowed by those before; embedding is timed apart, for it fills the caches.
    embedding = medians(in_turns({"embedding": lambda: model.queries(targets)}, rounds=rounds))["embedding"]
    found = medians(seconds)
    faster = min("blocks", "whole", key=lambda name: found[name])
    ratios = [query / product for query, product in zip(seconds["query"], seconds[faster], strict=True)]
    return QueryTimes(len(targets), found["query"], found[faster], embedding, sorted(ratios)[len(ratios) // 2])


@dataclass(frozen=True)
class Costs:
    """What one memory costs, and what it is good for.

    build_ms_per_slot: when it was built, now or earlier. accuracy: of all targets, `classes`-way, with half its 95 %
    interval. bound: of some targets, in `bound_seconds`. peak_mb: the largest that this process ever was.
    """

    slots: int
    classes: int
    build_ms_per_slot: float
    bytes_per_slot: float
    open_ms: float
    queries: tuple[QueryTimes, ...]
    accuracy: float
    accuracy_ci95: float
    queries_classified: int
    bound: MemoryScore
    bound_seconds: float
    peak_mb: float


def costs(
    model: VariationalMemoryAddressing,
    variants: Variants,
    folder: Path,
    *,
    targets: int = 32,
    samples: int = 100,
    rounds: int = 9,
    progress: Callable[[int, int], None] | None = None,
) -> Costs:
    """Build a memory or take the one of these weights and drawings in `folder`; then open, query, classify and score.

    targets, samples: of the bound. rounds: of the timing. progress(done, total) counts slots that are built.
    """
    drawings = hashlib.sha256(repr(variants.characters.classes).encode("utf-8", "backslashreplace"))
    for part in (variants.characters.images, variants.characters.labels):
        drawings.update(part.numpy().tobytes())
    file = folder / f"{variants.slots}-{fingerprint(model)[:12]}-{drawings.hexdigest()[:12]}.safetensors"
    built = _built(file, model, variants, progress)
    start = time.perf_counter()
    memory = open_memory(file, model)
    opened = time.perf_counter() - start
    index = variants.target_index
    # In a random order, so that the first targets are of many classes.
    index = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(0))]
    images = variants.characters.images[index].float()[:, None] / variants.characters.levels
    labels = variants.characters.labels[index]
    queries = tuple(query_times(model, memory, images[:count], rounds=rounds) for count in AT_A_TIME)
    accuracy, half = classify_by_memory(model, images, labels, memory)
    start = time.perf_counter()
    bound = score_memory(model, images[:targets], memory, samples=samples)
    scored = time.perf_counter() - start
    return Costs(
        slots=variants.slots,
        classes=memory.classes,
        build_ms_per_slot=1e3 * built,
        bytes_per_slot=file.stat().st_size / variants.slots,
        open_ms=1e3 * opened,
        queries=queries,
        accuracy=accuracy,
        accuracy_ci95=half,
        queries_classified=len(images),
        bound=bound,
        bound_seconds=scored,
        # Kilobytes on Linux, bytes on macOS.
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    )


def _built(
    file: Path,
    model: VariationalMemoryAddressing,
    variants: Variants,
    progress: Callable[[int, int], None] | None,
) -> float:
    """Seconds a slot that building took, now or when the file was built."""
    notes = file.with_suffix(".json")
    known = _seconds(notes) if file.exists() else None
    if known is None:
        file.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        write_memory(
            file,
            model,
            variants.parts(),
            variants.slots,
            labels=variants.labels,
            classes=variants.characters.n_classes,
            progress=progress,
        )
        known = (time.perf_counter() - start) / variants.slots
        replace(notes, json.dumps({"seconds_per_slot": known}).encode())
    return known


def _seconds(notes: Path) -> float | None:
    """What the notes beside a memory say; None where they are gone or damaged."""
    try:
        return float(json.loads(notes.read_bytes())["seconds_per_slot"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
