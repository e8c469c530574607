"""Which class of a memory a picture is of, how probable that is, and whether it is of any."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vmacore.data.pictures import LEVELS
from vmacore.data.views import pixels_of
from vmacore.errors import VmaError
from vmacore.files import replace
from vmacore.memory.pictures import PictureMemory
from vmacore.models.vma import VariationalMemoryAddressing

BATCH = 64  # pictures that are read, and address the memory, at a time
BLOCK = 2**16  # keys whose cosines are held at a time
HEADER = ("file", "label", "probability", "known", "nearest", "nearest_label", "cosine", "error")


@dataclass(frozen=True)
class Near:
    """A slot like the picture."""

    file: str
    label: str
    cosine: float


@dataclass(frozen=True)
class Answer:
    """label: None where the picture is refused as none of these. probability: of the likeliest class, if it is one.

    known: how much the largest cosine exceeds the usual one of its class; refused below the threshold.
    """

    file: str
    label: str | None
    probability: float
    known: float
    nearest: tuple[Near, ...]

    def numbers(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


@dataclass(frozen=True)
class Unreadable:
    """A file that was not answered, and why."""

    file: str
    error: str

    def numbers(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Identifier:
    """Answers by a memory.

    reject: how many of the known may be refused, a fraction. top: how many slots are told beside each answer.
    """

    model: VariationalMemoryAddressing
    memory: PictureMemory
    reject: float = 0.05
    top: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.reject < 1 or self.top < 1:
            raise VmaError(f"reject is {self.reject} and top {self.top}: choose 0 to 1, and at least 1")

    @cached_property
    def threshold(self) -> float:
        """Of `known`; −inf where nothing is refused."""
        memory = self.memory
        assert memory.calibration is not None
        return memory.calibration.threshold(memory.labels, len(memory.classes), self.reject)

    @property
    def temperature(self) -> float:
        """What divides log q(c|x)."""
        assert self.memory.calibration is not None
        return self.memory.calibration.temperature

    @cached_property
    def _usual(self) -> Tensor:
        assert self.memory.calibration is not None
        return self.memory.calibration.usual(self.memory.labels, len(self.memory.classes))

    def files(self, paths: Sequence[Path]) -> Iterator[Answer | Unreadable]:
        """An answer for each file, in their order."""
        for start in range(0, len(paths), BATCH):
            read: list[Tensor | str] = []
            for path in paths[start : start + BATCH]:
                try:
                    read.append(torch.from_numpy(self.memory.preparation.read(path)))
                except VmaError as error:
                    read.append(str(error))
            drawings = [item for item in read if isinstance(item, Tensor)]
            answers = iter(self.drawings(torch.stack(drawings)) if drawings else ())
            for path, item in zip(paths[start : start + BATCH], read, strict=True):
                if isinstance(item, str):
                    yield Unreadable(str(path), item)
                else:
                    label, probability, known, nearest = next(answers)
                    yield Answer(str(path), label, probability, known, nearest)

    @torch.no_grad()
    def drawings(self, finer: Tensor) -> list[tuple[str | None, float, float, tuple[Near, ...]]]:
        """Label, probability, `known` and nearest slots of each drawing uint8 [N, 2H, 2W] in the finer view."""
        model, memory = self.model, self.memory
        seen = finer[:, None].float() / LEVELS
        seen = (seen if memory.views is not None else pixels_of(seen)).to(memory.slots.keys.device)
        queries = model.queries(seen).float()
        log_q = self.class_scores(queries)
        probability, label = log_q.softmax(1).max(1)
        cosine, slot = self._nearest(F.normalize(queries, dim=1))
        known = cosine[:, 0] - self._usual[memory.labels[slot[:, 0]].long()]
        columns = (label.tolist(), probability.tolist(), known.tolist(), cosine.tolist(), slot.tolist())
        return [
            (memory.classes[c] if k >= self.threshold else None, p, k, self._near(cosines, slots))
            for c, p, k, cosines, slots in zip(*columns, strict=True)
        ]

    def class_scores(self, queries: Tensor) -> Tensor:
        """log mean_{a∈c} exp S(m_a, x) [B, C] over the temperature: a mean, so that many slots give a class no lead."""
        memory = self.memory
        addressing = memory.slots.address(queries, self.model.config.similarity)
        mass = addressing.class_log_mass(memory.labels, len(memory.classes))
        return (mass - memory.counts.log()) / self.temperature

    def _nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The largest cosines of queries [B, E] of unit length, and their slots, each [B, top], descending."""
        keys = self.memory.slots.keys
        best = queries.new_empty(len(queries), 0)
        slots = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
        for start in range(0, len(keys), BLOCK):
            cosines = queries @ F.normalize(keys[start : start + BLOCK], dim=1).T
            values, places = cosines.topk(min(self.top, cosines.shape[1]), 1)
            best, slots = torch.cat([best, values], 1), torch.cat([slots, places + start], 1)
            best, order = best.topk(min(self.top, best.shape[1]), 1)
            slots = slots.gather(1, order)
        return best, slots

    def _near(self, cosines: list[float], slots: list[int]) -> tuple[Near, ...]:
        memory = self.memory
        return tuple(
            Near(memory.files[slot], memory.classes[int(memory.labels[slot])], cosine)
            for cosine, slot in zip(cosines, slots, strict=True)
        )


def write_csv(path: Path, answers: Sequence[Answer | Unreadable]) -> None:
    """A line for each file, with HEADER above; the label is empty where a picture is refused.

    Raises:
        VmaError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEADER)
    for answer in answers:
        if isinstance(answer, Unreadable):
            table.writerow([answer.file, *[""] * 6, answer.error])
        else:
            near = answer.nearest[0]
            shown = (f"{answer.probability:.4f}", f"{answer.known:.6f}", near.file, near.label, f"{near.cosine:.6f}")
            table.writerow([answer.file, answer.label or "", *shown, ""])
    try:
        replace(path, text.getvalue().encode(errors="replace"))
    except OSError as error:
        raise VmaError(f"can't write {path}: {error.strerror or error}; choose another --csv") from error
