"""Which class of a memory a picture is of, how probable that is, and whether it is of any."""

from __future__ import annotations

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
from vmacore.evaluation.csv_file import save_csv
from vmacore.evaluation.tasks import REJECT
from vmacore.finite import finite
from vmacore.memory.calibration import BLOCK, class_means, known
from vmacore.memory.large import pack
from vmacore.memory.pictures import PictureMemory
from vmacore.models.vma import VariationalMemoryAddressing

BATCH = 64  # pictures that are read, and address the memory, at a time
HEADER = ("file", "label", "probability", "known", "nearest", "nearest_label", "cosine", "error")


@dataclass(frozen=True, eq=False)
class Judged:
    """What a memory tells of drawings.

    log_prob: log p(c|x) [N, C], nats, if x is of one of the classes. known: [N], how well known they are
    (`vmacore.memory.calibration.known`); refused below the threshold. cosine: the largest [N, T], descending. slot:
    int64 [N, T], which slots have these.
    """

    log_prob: Tensor
    known: Tensor
    cosine: Tensor
    slot: Tensor


@dataclass(frozen=True)
class Near:
    """A slot like the picture."""

    file: str
    label: str
    cosine: float


@dataclass(frozen=True)
class Answer:
    """label: None where the picture is refused as none of these. probability: of the likeliest class, if it is one.

    known: how well known the picture is; refused below the threshold.
    duplicates: files in memory with this very drawing.
    """

    file: str
    label: str | None
    probability: float
    known: float
    nearest: tuple[Near, ...]
    duplicates: tuple[str, ...]

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
    reject: float = REJECT
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

    @cached_property
    def _means(self) -> Tensor:
        return class_means(self.memory.slots.keys, self.memory.labels, len(self.memory.classes))

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
            there = [str(path) for path, item in zip(paths[start:], read, strict=False) if isinstance(item, Tensor)]
            answers = iter(self.drawings(torch.stack(drawings), there) if drawings else ())
            for path, item in zip(paths[start : start + BATCH], read, strict=True):
                yield Unreadable(str(path), item) if isinstance(item, str) else next(answers)

    def seen(self, finer: Tensor) -> Tensor:
        """Drawings [N, 1, …] as h_q looks at them, of drawings uint8 [N, 2H, 2W] in the finer view."""
        shades = finer[:, None].float() / LEVELS
        return (shades if self.memory.views is not None else pixels_of(shades)).to(self.memory.slots.keys.device)

    @torch.no_grad()
    def judge(self, seen: Tensor) -> Judged:
        """What the memory tells of drawings [N, 1, …] as h_q looks at them.

        Raises:
            Diverged: the weights give no numbers.
        """
        queries = self.model.queries(seen).float()
        unit = F.normalize(queries, dim=1)
        cosine, slot = self._nearest(unit)
        finite(cosine, "cosines of this memory")
        usual = self._usual[self.memory.labels[slot[:, 0]].long()]
        familiar = known(cosine[:, 0], usual, (unit @ self._means.T).amax(1))
        return Judged(self.class_scores(queries).log_softmax(1), familiar, cosine, slot)

    def drawings(self, finer: Tensor, files: Sequence[str]) -> list[Answer]:
        """An answer for each drawing uint8 [N, 2H, 2W] in the finer view, and for its file."""
        memory, seen = self.memory, self.seen(finer)
        judged = self.judge(seen)
        probability, label = judged.log_prob.exp().max(1)
        columns = (label, probability, judged.known, judged.cosine, judged.slot)
        return [
            Answer(
                file=file,
                label=memory.classes[c] if k >= self.threshold else None,
                probability=p,
                known=k,
                nearest=tuple(
                    Near(memory.files[near], memory.classes[int(memory.labels[near])], cosine)
                    for near, cosine in zip(slots, cosines, strict=True)
                ),
                duplicates=tuple(memory.files[same] for same in self._same(drawing)),
            )
            for file, drawing, c, p, k, cosines, slots in zip(files, seen, *(c.tolist() for c in columns), strict=True)
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

    @cached_property
    def _by_pixels(self) -> dict[bytes, list[int]]:
        """The slots of each packed x."""
        slots: dict[bytes, list[int]] = {}
        for slot, bits in enumerate(self.memory.slots.slots.cpu().numpy()):
            slots.setdefault(bits.tobytes(), []).append(slot)
        return slots

    def _same(self, drawing: Tensor) -> list[int]:
        """The slots that hold a drawing [1, H, W] in the view that h looks at."""
        bits = pack(self.model.pixels(drawing[None])[:, 0])[0].cpu().numpy().tobytes()
        slots = self._by_pixels.get(bits, [])
        equal = (self.memory.images(torch.tensor(slots, dtype=torch.int64)) == drawing).flatten(1).all(1)
        return [slot for slot, same in zip(slots, equal.tolist(), strict=True) if same]


def write_csv(path: Path, answers: Sequence[Answer | Unreadable]) -> None:
    """A line for each file, with HEADER above; the label is empty where a picture is refused.

    Raises:
        VmaError: the file cannot be written.
    """
    rows: list[list[str]] = []
    for answer in answers:
        if isinstance(answer, Unreadable):
            rows.append([answer.file, *[""] * 6, answer.error])
        else:
            near = answer.nearest[0]
            shown = (f"{answer.probability:.4f}", f"{answer.known:.6f}", near.file, near.label, f"{near.cosine:.6f}")
            rows.append([answer.file, answer.label or "", *shown, ""])
    save_csv(path, HEADER, rows)
