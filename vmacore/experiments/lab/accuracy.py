"""Accuracies of few-shot tasks within a budget."""

from __future__ import annotations

from dataclasses import dataclass

from vmacore.evaluation.accuracy import Z95, Classification
from vmacore.evaluation.classification import Classifier
from vmacore.experiments.lab.lab import Lab

Task = tuple[int, int]  # classes, and drawings of each in memory


@dataclass(frozen=True)
class Asked:
    """How much is asked of a kind of task, and by which rules; queries: of each class, None: all."""

    episodes: int
    rules: tuple[str, ...] = ("posterior",)
    queries: int | None = None


def measure(lab: Lab, classifier: Classifier, task: Task, asked: Asked, share: float) -> list[Classification] | None:
    """Accuracies by each rule over as many episodes as fit into a share of the time left; None where none do."""
    way, shot = task

    def measured(count: int) -> list[Classification]:
        with lab.reporter.progress("episodes", count) as counter:

            def progress(done: int, total: int) -> None:
                counter.update(done, detail=f"{name(task)}, {' and '.join(asked.rules)}")
                lab.check_stop()

            return classifier.measure(
                way=way, shot=shot, episodes=count, rules=asked.rules, queries=asked.queries, progress=progress
            )

    return lab.within_budget(measured, asked.episodes, share=share)


def name(task: Task) -> str:
    """Such as 5-way 1-shot."""
    return f"{task[0]}-way {task[1]}-shot"


def percentages(one: Classification | None) -> tuple[float | None, float | None]:
    """The accuracy and its standard error over episodes."""
    return (100 * one.accuracy, 100 * one.ci95 / Z95) if one else (None, None)
