"""The report of `vma classify`: accuracies, classes taken for one another, and each drawing with its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F

from vmacore.evaluation.accuracy import Classification
from vmacore.evaluation.answers import Answers
from vmacore.evaluation.classification import Classifier, few_shot_task
from vmacore.evaluation.measuring import Measurements
from vmacore.evaluation.tasks import FewShotTasks
from vmacore.models.base import GenerativeModel
from vmacore.reports.by_class import ClassTable, class_table
from vmacore.reports.gallery import Card, Gallery, Names, Slot, some, which
from vmacore.reports.page import percent, render
from vmacore.reports.pictures import drawing, thumbnail_of

TOP = 3  # nearest slots of a card
MOST_LEFT_OUT = 100
MOST_TAKEN = 4  # classes that a card names


@dataclass(frozen=True)
class About:
    """What was classified by what. data, run: their names. words: how the data are prepared, and what was asked.

    left_out: a line for each file that could not be used.
    """

    data: str
    run: str
    words: str
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class ClassifyReport:
    """What the page of classify shows. results: every kind of task by every rule."""

    about: About
    results: Sequence[Classification]
    table: ClassTable
    gallery: Gallery

    @property
    def left_out(self) -> Sequence[str]:
        """The first of the files that could not be used."""
        return self.about.left_out[:MOST_LEFT_OUT]


@dataclass
class _Asked:
    """The answers to one drawing. shown: the one that its card shows, the surest wrong one or else the least sure."""

    drawing: int
    asked: int = 0
    taken: Counter[int] = field(default_factory=Counter)  # classes other than its own
    shown: tuple[Answers, int] | None = None

    @property
    def outcome(self) -> str:
        return "wrong" if self.taken else "right"


def gather(
    model: GenerativeModel,
    measured: Measurements,
    tasks: FewShotTasks,
    about: About,
    *,
    device: torch.device | str = "cpu",
) -> ClassifyReport:
    """The report of what was measured with its answers."""
    asked = _by_drawing(measured)
    places = some([item.outcome for item in asked])
    classifier = Classifier(model, measured.characters, seed=tasks.seed, device=device, shifts=tasks.shifts)
    drawn = _Drawn(classifier, tasks)
    cards = [drawn.card(asked[place]) for place in places]
    return ClassifyReport(
        about=about,
        results=measured.results,
        table=class_table(measured.per_class(), measured.confusions()),
        gallery=Gallery(cards, which(len(cards), len(asked), "drawings that were asked")),
    )


def classify_page(report: ClassifyReport) -> str:
    """The page, as HTML."""
    return render("classify.html.j2", report=report, name=Path(report.about.data).name)


def _by_drawing(measured: Measurements) -> list[_Asked]:
    """Every drawing that was asked once or more, the most often mistaken first."""
    labels = measured.characters.labels.tolist()
    found: dict[int, _Asked] = {}
    surest: dict[int, tuple[bool, float]] = {}
    for part in measured.answers:
        answers = zip(part.drawing.tolist(), part.predicted.tolist(), part.probability.tolist(), strict=True)
        for place, (index, predicted, probability) in enumerate(answers):
            item = found.setdefault(index, _Asked(index))
            wrong = predicted != labels[index]
            item.asked += 1
            if wrong:
                item.taken[predicted] += 1
            telling = wrong, probability if wrong else -probability
            if telling > surest.get(index, (False, -2.0)):
                surest[index], item.shown = telling, (part, place)
    return sorted(found.values(), key=lambda item: -item.taken.total() / item.asked)


class _Drawn:
    """Drawings and what was answered of them, as cards; each is drawn once."""

    def __init__(self, classifier: Classifier, tasks: FewShotTasks) -> None:
        self.classifier, self.tasks = classifier, tasks
        self.characters = classifier.characters
        self.names = Names(self.characters.files)
        self.pictures: dict[int, str] = {}

    def card(self, item: _Asked) -> Card:
        """A drawing with its most telling answer, and how often it was answered wrong."""
        assert item.shown is not None
        part, place = item.shown
        classes, truth = self.characters.classes, self._label(item.drawing)
        wrong = item.taken.total()
        lines = [f"its class is {classes[truth]}"] if wrong else []
        kind = f"{part.way}-way {part.shot}-shot, {part.rule}, episode {part.episode}"
        lines.append(f"probability {percent(float(part.probability[place]))}; {kind}")
        if item.asked > 1:
            taken = ", ".join(f"{classes[c]} {count}×" for c, count in item.taken.most_common(MOST_TAKEN))
            lines.append(f"wrong in {wrong} of {item.asked} answers" + (f": {taken}" if taken else ""))
        files = self.characters.files
        return Card(
            name=self._name(item.drawing),
            outcome=item.outcome,
            answer=classes[int(part.predicted[place])],
            classes=(classes[truth], *(classes[c] for c in item.taken)),
            lines=tuple(lines),
            given=thumbnail_of(Path(files[item.drawing])) if files else None,
            drawn=self._picture(item.drawing),
            nearest=self._nearest(item.drawing, part),
        )

    def _nearest(self, index: int, part: Answers) -> tuple[Slot, ...]:
        """The slots of the episode whose keys have the largest cosines with the query."""
        classifier, tasks = self.classifier, self.tasks
        task = few_shot_task(self.characters, part.way, part.shot, tasks.seed, part.episode, tasks.n_queries)
        keys = F.normalize(classifier.keys[task.support], dim=1)
        cosines = (keys @ F.normalize(classifier.queries[index], dim=0)).cpu()
        best = cosines.topk(min(TOP, len(cosines)))
        return tuple(
            Slot(self._picture(slot), self.characters.classes[self._label(slot)], self._name(slot), cosine)
            for slot, cosine in zip(task.support[best.indices].tolist(), best.values.tolist(), strict=True)
        )

    def _picture(self, index: int) -> str:
        if index not in self.pictures:
            (image,) = self.classifier.images(torch.tensor([index]))
            self.pictures[index] = drawing(image[0])
        return self.pictures[index]

    def _label(self, index: int) -> int:
        return int(self.characters.labels[index])

    def _name(self, index: int) -> str:
        name = self.characters.drawing(index)
        return self.names.of(name) if self.characters.files else name
