"""The report of `vma identify`: every picture as given and as read, its answer, and what in memory it is like."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vmacore.data.folders import files_below
from vmacore.data.inspection import Inspected, inspect_pictures
from vmacore.evaluation.answers import ClassAccuracy, Confusion
from vmacore.evaluation.identify import Answer, Identifier, Near, Unreadable
from vmacore.memory.pictures import PictureMemory
from vmacore.reports.by_class import ClassTable, class_table
from vmacore.reports.gallery import MOST, OUTCOMES, Card, Gallery, Names, Slot, some, which
from vmacore.reports.page import fixed, percent, render
from vmacore.reports.pictures import drawing, thumbnail

REFUSED = "none of these"


@dataclass(frozen=True)
class IdentifyReport:
    """What the page of identify shows.

    pictures: the folder that all are in; empty where there is none. counts: pictures by outcome. table: where the names
    of folders tell what some pictures are of; else None.
    """

    memory: str
    opened: PictureMemory
    reject: float
    threshold: float
    pictures: str
    counts: Mapping[str, int]
    gallery: Gallery
    table: ClassTable | None


def known_labels(images: Sequence[Path], classes: Sequence[str]) -> dict[str, str]:
    """The class of each file in a folder named in `images`, where the folder that holds it is called as a class."""
    labels = {}
    for folder in images:
        for file in files_below(folder) if folder.is_dir() else []:
            name = file.parent.relative_to(folder).as_posix()
            if name in classes:
                labels[str(file)] = name
    return labels


def gather(
    identifier: Identifier,
    answers: Sequence[Answer | Unreadable],
    *,
    memory: str,
    labels: Mapping[str, str] | None = None,
    most: int = MOST,
) -> IdentifyReport:
    """The report of answers; labels: what pictures are of, by file, where that is known."""
    labels = labels or {}
    opened = identifier.memory
    outcomes = [_outcome(answer, labels.get(answer.file)) for answer in answers]
    shown = some(outcomes, most)
    drawn = _Drawn(identifier, [answer.file for answer in answers])
    cards = [drawn.card(answers[place], outcomes[place], labels.get(answers[place].file)) for place in shown]
    return IdentifyReport(
        memory=memory,
        opened=opened,
        reject=identifier.reject,
        threshold=identifier.threshold,
        pictures=drawn.names.folder,
        counts=Counter(outcomes),
        gallery=Gallery(cards, which(len(cards), len(answers))),
        table=_table(answers, labels),
    )


def identify_page(report: IdentifyReport) -> str:
    """The page, as HTML."""
    counted = [(outcome, f"{report.counts[outcome]:,}") for outcome in OUTCOMES if report.counts.get(outcome)]
    opened = report.opened
    held = [("memory", f"{len(opened):,} slots of {len(opened.classes):,} classes"), ("weights", opened.run)]
    refuses = math.isfinite(report.threshold)
    return render("identify.html.j2", report=report, facts=counted + held, refuses=refuses)


class _Drawn:
    """Pictures and their answers as cards; each slot is drawn once."""

    def __init__(self, identifier: Identifier, files: Sequence[str]) -> None:
        self.identifier, self.memory = identifier, identifier.memory
        self.names, self.names_of_slots = Names(files), Names(self.memory.files)
        self.places = {file: slot for slot, file in enumerate(self.memory.files)}
        self.pictures: dict[str, str] = {}

    def card(self, answer: Answer | Unreadable, outcome: str, truth: str | None) -> Card:
        """A picture. truth: its class, where that is known."""
        name = self.names.of(answer.file)
        (seen,) = inspect_pictures([Path(answer.file)], self.memory.preparation)
        given = None if seen.image is None else thumbnail(seen.image)
        if isinstance(answer, Unreadable):
            why = answer.error.removeprefix(f"{answer.file} can't be used: ")
            return Card(name, outcome, "can't be used", lines=(why,), given=given)
        label = answer.label or answer.nearest[0].label
        lines = [self._why(answer)]
        if truth is not None and outcome != "right":
            lines.append(f"its folder says {truth}")
        lines += [f"in memory too, as {self.names_of_slots.of(file)}" for file in answer.duplicates]
        return Card(
            name,
            outcome,
            answer.label or REFUSED,
            classes=(label,) if truth is None else (label, truth),
            lines=tuple(lines),
            given=given,
            drawn=self._as_read(seen),
            nearest=tuple(map(self._slot, answer.nearest)),
        )

    def _why(self, answer: Answer) -> str:
        known = _signed(answer.known)
        if answer.label is not None:
            return f"probability {percent(answer.probability)}, known {known}"
        return (
            f"refused: known {known} is below {_signed(self.identifier.threshold)}, so it is less like the nearest "
            f"slot, of {answer.nearest[0].label}, than pictures of that class are"
        )

    def _as_read(self, seen: Inspected) -> str | None:
        """The drawing as h_q looks at it."""
        if seen.finer is None:
            return None
        (drawn,) = self.identifier.seen(torch.from_numpy(seen.finer)[None])
        return drawing(drawn[0])

    def _slot(self, near: Near) -> Slot:
        if near.file not in self.pictures:
            (image,) = self.memory.images(torch.tensor([self.places[near.file]]))
            self.pictures[near.file] = drawing(image[0])
        return Slot(self.pictures[near.file], near.label, self.names_of_slots.of(near.file), near.cosine)


def _outcome(answer: Answer | Unreadable, truth: str | None) -> str:
    if isinstance(answer, Unreadable):
        return "unreadable"
    if answer.label is None:
        return "refused"
    return "answered" if truth is None else "right" if answer.label == truth else "wrong"


def _table(answers: Sequence[Answer | Unreadable], labels: Mapping[str, str]) -> ClassTable | None:
    """Of the pictures that were read and whose class is known; what is refused was taken for none."""
    pairs = [
        (labels[answer.file], answer.label or REFUSED)
        for answer in answers
        if isinstance(answer, Answer) and answer.file in labels
    ]
    if not pairs:
        return None
    asked, counts = Counter(label for label, _ in pairs), Counter(pairs)
    accuracies = [ClassAccuracy(name, asked[name], counts[name, name]) for name in sorted(asked)]
    confused = [
        Confusion(label, taken, count, asked[label]) for (label, taken), count in counts.most_common() if label != taken
    ]
    return class_table(sorted(accuracies, key=lambda item: item.accuracy), confused)


def _signed(number: float) -> str:
    return ("+" if number >= 0 else "") + fixed(number, 4)
