"""A memory of pictures as people keep it: classes by name, examples by file, in a file that grows and shrinks.

The file is that of `vmacore.memory.large`, with the pictures, names and calibration beside keys and pixels.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmacore.addressing import address_prior, slot_side
from vmacore.data.characters import Characters, Dataset
from vmacore.data.pictures import LEVELS, Preparation
from vmacore.data.views import view_in_words
from vmacore.errors import VmaError, reading, writing
from vmacore.files import check_writable, replacing
from vmacore.finite import finite
from vmacore.memory.calibration import Calibration, calibrate
from vmacore.memory.large import EMBEDDED, FORMAT, LargeMemory, fingerprint, pack, read_memory, unpack
from vmacore.memory.regions import header_of, write_at
from vmacore.memory.stored import CHECKSUM, check_names, check_sum, checksum
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.spelling import did_you_mean, nearest

PART = 2**14  # slots written at a time
_BUILD = "build the memory again (vma memory build)"


@dataclass(frozen=True, eq=False)
class PictureMemory:
    """Pictures of named classes, read by a model.

    slots: keys, log p(a), pixels, and the class of every slot, ascending.
    views: uint8 [S, 2H, 2W], 0 … LEVELS, where h looks at the finer view; None: it looks at the pixels.
    classes: their names. files: where the picture of each slot was.
    preparation: how pictures became drawings.
    run: the weights that made the keys, by name or path. made_by: their hash.
    calibration: what leave-one-out tells; None: not asked since slots changed.
    """

    slots: LargeMemory
    views: Tensor | None
    classes: tuple[str, ...]
    files: tuple[str, ...]
    preparation: Preparation
    run: str
    made_by: str
    calibration: Calibration | None = None

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def labels(self) -> Tensor:
        """int32 [S]: the class of every slot."""
        assert self.slots.labels is not None
        return self.slots.labels

    @property
    def counts(self) -> Tensor:
        """int64 [C]: slots of each class."""
        return torch.bincount(self.labels, minlength=len(self.classes))

    def images(self, index: Tensor) -> Tensor:
        """Drawings [T, 1, H, W] of slots at index [T], in the view that h looks at."""
        if self.views is None:
            return self.slots.contents(index.to(self.slots.keys.device))
        return self.views[index.cpu()][:, None].to(self.slots.keys.device).float() / LEVELS

    def characters(self, names: Sequence[str] | None = None) -> Characters:
        """The drawings of classes, or of all.

        Raises:
            VmaError: there is no such class.
        """
        if self.views is None:
            images, levels = unpack(self.slots.slots, self.slots.size), 1
        else:
            images, levels = self.views, LEVELS
        whole = Characters(
            images=images.cpu(),
            labels=self.labels.long().cpu(),
            classes=self.classes,
            levels=levels,
            finer=self.views is not None,
            files=self.files,
        )
        return whole if names is None else whole.select([self._class(name) for name in names])

    def as_dataset(self, name: str, classes: Sequence[str] | None, view: str) -> Dataset:
        """The drawings of classes, or of all, in a view, as the test split of a data set.

        Raises:
            VmaError: there is no such class, or no finer view.
        """
        test = self.characters(classes)
        if view == "finer" and not test.finer:
            raise VmaError(f"{name} holds pixels alone: build it with weights that look at the finer view")
        test = test if view == "finer" else test.in_pixels()
        none = test.select([])
        return Dataset(
            name=name,
            protocol=self.preparation.frame,
            preparation=self.preparation.in_words(),
            binarisation=view_in_words(finer=test.finer),
            train=none,
            validation=none,
            test=test,
        )

    def check(self, model: VariationalMemoryAddressing, path: Path, run: str | None = None) -> None:
        """Check that a model's weights made the keys. run: what they are called, where not as the memory has it.

        Raises:
            VmaError: other weights made the keys.
        """
        same = self.slots.keys.shape[1] == model.config.embedding and self.slots.size == model.size
        if not same or self.made_by != fingerprint(model):
            than = f"{self.run} is now:" if run in (None, self.run) else f"{run}: leave --weights out, or"
            raise VmaError(f"{path} holds keys made by other weights than {than} {_BUILD}")

    def joined(self, other: PictureMemory) -> PictureMemory:
        """With the slots of another memory that the same weights read; its new classes stand last.

        Of a file that both hold in the same class, what the other read takes the place. In another class it stays:
        paths may be relative, and two folders each have their 1.png.
        """
        files = self.files + other.files
        again = set(other._examples())
        kept = [slot for slot, example in enumerate(self._examples()) if example not in again]
        chosen = torch.tensor([*kept, *range(len(self), len(files))])
        names = tuple(dict.fromkeys(self.classes + other.classes))
        places = {name: place for place, name in enumerate(names)}
        place = torch.tensor([places[name] for name in other.classes])
        labels = torch.cat([self.labels.long().cpu(), place[other.labels.long().cpu()]])
        views = None if self.views is None or other.views is None else torch.cat([self.views, other.views])
        parts = (self.slots, other.slots)
        slots = replace(
            self.slots,
            slots=torch.cat([part.slots for part in parts]),
            keys=torch.cat([part.keys for part in parts]),
            log_prior=torch.cat([part.log_prior for part in parts]),
            labels=labels,
        )
        whole = replace(self, slots=slots, views=views, classes=names, files=files)
        return whole._select(chosen[labels[chosen].argsort(stable=True)])

    def without(self, names: Sequence[str]) -> PictureMemory:
        """Without the classes of these names, and the examples of these files.

        Raises:
            VmaError: neither a class nor a file has that name, or no slot would be left.
        """
        gone = torch.zeros(len(self), dtype=torch.bool)
        for name in names:
            own = [slot for slot, file in enumerate(self.files) if file == name]
            if name in self.classes:
                gone |= self.labels.cpu() == self.classes.index(name)
            elif own:
                gone[own] = True
            else:
                meant = did_you_mean(nearest(name, (*self.classes, *self.files)))
                raise VmaError(f"the memory holds no class and no file {name!r}: {meant}vma memory show lists both")
        kept = (~gone).nonzero()[:, 0]
        if not len(kept):
            raise VmaError("no picture would be left in memory: delete its file, or add others first")
        return self._select(kept)

    def to(self, device: torch.device | str) -> PictureMemory:
        """The same on another device; pictures in the finer view stay on the CPU."""

        def moved(part: Any) -> Any:
            tensors = {name: value.to(device) for name, value in vars(part).items() if isinstance(value, Tensor)}
            return replace(part, **tensors)

        return replace(self, slots=moved(self.slots), calibration=self.calibration and moved(self.calibration))

    def calibrated(self, model: VariationalMemoryAddressing) -> PictureMemory:
        """With log p(a) and calibration of the slots that it holds."""
        prior = address_prior(self.slots.keys, model.query_point, model.config.similarity)
        whole = replace(self, slots=replace(self.slots, log_prior=prior))

        def queries(index: Tensor) -> Tensor:
            return finite(model.queries(self.images(index)).float(), f"queries by {self.run}")

        return replace(whole, calibration=calibrate(whole.slots, queries, model.config.similarity))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            VmaError: it cannot be written.
        """
        assert self.calibration is not None, "a memory is calibrated before it is saved"
        names = json.dumps({"classes": self.classes, "files": self.files}).encode()
        tensors = {
            "keys": self.slots.keys,
            "log_prior": self.slots.log_prior,
            "labels": self.labels,
            "cosines": self.calibration.cosines,
            "nearest": self.calibration.nearest,
            "centres": self.calibration.centres,
            "slots": self.slots.slots,
            **({} if self.views is None else {"views": self.views}),
            "names": torch.frombuffer(bytearray(names), dtype=torch.uint8),
        }
        kinds = {torch.float32: "F32", torch.int32: "I32", torch.uint8: "U8"}
        regions = {
            name: (kinds[tensor.dtype], list(tensor.shape), tensor.element_size()) for name, tensor in tensors.items()
        }
        described = {
            "format": FORMAT,
            "weights": self.made_by,
            "size": json.dumps(self.slots.size),
            "classes": f"{len(self.classes)}",
            "run": self.run,
            "preparation": json.dumps(self.preparation.to_dict()),
            "temperature": repr(self.calibration.temperature),
        }
        described[CHECKSUM] = checksum(described, tensors)
        header, offsets = header_of(regions, described)
        with writing(path, "choose another path"), replacing(path) as file:
            file.write(header)
            for name, tensor in tensors.items():
                width = tensor[:1].numel() * tensor.element_size()
                for number, part in enumerate(tensor.split(PART)):
                    write_at(file, offsets[name] + number * PART * width, part)

    def _select(self, index: Tensor) -> PictureMemory:
        """The slots at index, of ascending classes; classes without slots go."""
        present, labels = self.labels.long().cpu()[index].unique(return_inverse=True)
        here = index.to(self.slots.keys.device)
        slots = replace(
            self.slots,
            slots=self.slots.slots[here],
            keys=self.slots.keys[here],
            log_prior=self.slots.log_prior[here],
            labels=labels.int().to(here.device),
            classes=len(present),
        )
        return replace(
            self,
            slots=slots,
            views=None if self.views is None else self.views[index],
            classes=tuple(self.classes[c] for c in present.tolist()),
            files=tuple(self.files[slot] for slot in index.tolist()),
            calibration=None,
        )

    def _examples(self) -> list[tuple[str, str]]:
        """The class and the file of each slot."""
        classes = (self.classes[c] for c in self.labels.tolist())
        return list(zip(classes, map(os.path.normpath, self.files), strict=True))

    def _class(self, name: str) -> int:
        if name not in self.classes:
            meant = did_you_mean(nearest(name, self.classes))
            raise VmaError(f"the memory holds no class {name!r}; {meant}it holds {', '.join(self.classes)}")
        return self.classes.index(name)


def check_file(path: Path) -> None:
    """Find out, before pictures are read, whether a memory can be written there.

    Raises:
        VmaError: it cannot, or something else than a memory is there.
    """
    with writing(path, "choose another path"):
        check_writable(path)
        if path.exists():
            with path.open("rb") as file:
                start = file.read(len(header_of({}, {"format": FORMAT})[0]))
            if start and FORMAT.encode() not in start:
                raise VmaError(f"{path} is there and is no memory: choose another path, or move it away")


def open_pictures(path: Path, device: torch.device | str = "cpu") -> PictureMemory:
    """A memory that `PictureMemory.save` wrote, mapped as in `open_memory`; `check` asks whose keys it holds.

    Raises:
        VmaError: absent, damaged, or no memory of pictures.
    """
    if path.is_dir():
        raise VmaError(f"{path} is a folder: build a memory of it (vma memory build {path.name}.mem {path})")
    if not path.is_file():
        raise VmaError(f"there is no memory {path}: build it (vma memory build {path} FOLDER)")
    described, slots, stored = read_memory(path, device)
    if "names" not in stored:
        raise VmaError(f"{path} holds no names of classes and files: {_BUILD}")
    if "centres" not in stored:
        raise VmaError(f"{path} is of an earlier version, which refused by other numbers: {_BUILD}")
    with reading(path, _BUILD, "is damaged"):
        check_sum(described, stored)
        names, temperature = json.loads(stored["names"].cpu().numpy().tobytes()), float(described["temperature"])
        check_names(names, stored, temperature)
        return PictureMemory(
            slots=slots,
            views=stored["views"].cpu() if "views" in stored else None,
            classes=tuple(names["classes"]),
            files=tuple(names["files"]),
            preparation=Preparation.from_dict(json.loads(described["preparation"])),
            run=described["run"],
            made_by=described["weights"],
            calibration=Calibration(stored["cosines"], stored["nearest"], stored["centres"], temperature),
        )


@torch.no_grad()
def read_pictures(model: GenerativeModel, characters: Characters, preparation: Preparation, run: str) -> PictureMemory:
    """The memory of drawings in the finer view, not yet calibrated.

    Raises:
        VmaError: a model that addresses no slots, or whose memory is learned, or that reads drawings of another size;
            keys that are not finite.
    """
    if not isinstance(model, VariationalMemoryAddressing) or model.learned_memory is not None:
        raise VmaError(f"{run} has no keys for new pictures: take weights of a few-shot model, such as symbols")
    if preparation.size != model.size:
        raise VmaError(f"{run} reads {model.size} pixels, and the pictures are {preparation.size}: {_BUILD}")
    finer = model.config.view == "finer"
    seen = characters if finer else characters.in_pixels()
    device = next(model.parameters()).device
    bits, keys = [], []
    for part in seen.images.split(EMBEDDED):
        images = part[:, None].to(device).float() / seen.levels
        bits.append(pack(model.pixels(images)[:, 0].cpu()))
        keys.append(slot_side(model.keys(images), model.config.similarity).float())
    every = finite(torch.cat(keys), f"keys that {run} makes of these pictures")
    slots = LargeMemory(
        slots=torch.cat(bits).to(device),
        keys=every,
        log_prior=address_prior(every, model.query_point, model.config.similarity),
        size=model.size,
        labels=characters.labels.int().to(device),
        classes=characters.n_classes,
    )
    return PictureMemory(
        slots=slots,
        views=seen.images if finer else None,
        classes=characters.classes,
        files=characters.files,
        preparation=preparation,
        run=run,
        made_by=fingerprint(model),
    )
