"""The tables of `vma classify`: accuracies of every task by every rule, and by alphabet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vmacli.output import table

if TYPE_CHECKING:
    from vmacore.evaluation.accuracy import Classification
    from vmacore.evaluation.baselines import Baseline
    from vmacore.evaluation.refusals import Refusals

BASELINES = {
    "pixels-logistic": "logistic, pixels",
    "embeddings-nearest": "nearest, h and h_q",
    "embeddings-mean": "class mean, h and h_q",
    "queries-nearest": "nearest, h_q",
    "queries-mean": "class mean, h_q",
}
HOG = {"hog-logistic": "logistic, HOG at 64×64"}  # of a folder's pictures
INTERVALS = "±: half a 95 % interval; over classes: for other classes than these, over episodes: for the same ones"
EMBEDDINGS = "h and h_q: memory embedded by h, queries by h_q; h_q: both by h_q; Euclidean distance at unit length"


def accuracies(found: list[Classification], beside: list[Baseline]) -> Table:
    """A row for each task and way to tell the class: accuracy in per cent with its two 95 % intervals."""
    made = table("task", "by", "%\nright", "± over\nepisodes", "± over\nclasses", "queries")
    made.columns[1].justify = "left"
    for way, shot in dict.fromkeys((item.way, item.shot) for item in found):
        here = [item for item in found if (item.way, item.shot) == (way, shot)]
        rows = [(rule_name(item), item.accuracy, item.ci95, item.ci95_classes, item.queries) for item in here]
        first = here[0]
        pixels = first.pixel_accuracy, first.pixel_ci95, first.pixel_ci95_classes
        rows.append(("nearest, pixels", *pixels, first.queries))
        rows += [
            ((BASELINES | HOG)[item.name], item.accuracy, item.ci95, item.ci95_classes, item.queries)
            for item in beside
            if (item.way, item.shot) == (way, shot)
        ]
        for number, (name, *percent, queries) in enumerate(rows):
            task = "" if number else f"{way}-way {shot}-shot"
            made.add_row(task, name, *(f"{100 * value:.1f}" for value in percent), str(queries))
        made.add_row("", "chance", f"{100 / way:.1f}", end_section=True)
    return made


def by_alphabet(found: list[Classification], within: list[dict[str, Classification]]) -> Table:
    """A row for each alphabet, a column for each task and rule: accuracy in per cent."""
    tasks = [f"{item.way}-way {item.shot}-shot\n{rule_name(item)}" for item in found]
    made = table("alphabet", *tasks)
    for alphabet in within[0]:
        made.add_row(alphabet, *(f"{100 * parts[alphabet].accuracy:.1f}" for parts in within))
    return made


def refused(refusals: list[Refusals]) -> list[RenderableType]:
    """A row for each task: how well known queries are told from others, and what is refused of either."""
    made = table("none of these", "AUROC", "±", "known\nrefused", "±", "unknown\nrefused", "±")
    for item in refusals:
        parts = ((each.part, each.ci95_classes) for each in (item.known, item.unknown))
        percent = (f"{100 * number:.1f}" for part in parts for number in part)
        made.add_row(f"{item.way}-way {item.shot}-shot", f"{item.auroc:.3f}", f"{item.ci95:.3f}", *percent)
    first = refusals[0]
    words = (
        f"refused, in %, at --reject {first.reject:g}; AUROC: how often a known query stands above an unknown one; "
        "±: of AUROC over episodes, else over classes"
    )
    return [made, Text(words)]


def rule_name(item: Classification) -> str:
    """A rule in words of a table, with what it depends on."""
    if item.rule in ("posterior", "prototype"):
        return "q(a|x)" if item.rule == "posterior" else "mean keys"
    decoded = f"K = {item.samples}"
    return f"p(x, a), {decoded}" if item.rule == "likelihood" else f"mixture {item.weight:g}, {decoded}"
