"""The options of `vma classify`, in groups. Nothing here imports torch, so help and usage errors are quick."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmacli.options import REJECT_OPTION, Report
from vmacore.evaluation.tasks import (
    BASELINE_EPISODES,
    EPISODES,
    EPISODES_DECODING,
    MIXTURE_WEIGHT,
    QUERIES_DECODING,
    SAMPLES,
)


class Rule(StrEnum):
    """vmacore.evaluation.tasks.RULES; an enumeration, since Typer has no lists of literals."""

    POSTERIOR = "posterior"
    PROTOTYPE = "prototype"
    LIKELIHOOD = "likelihood"
    MIXTURE = "mixture"


@dataclass(frozen=True)
class Tasks:
    """The tasks of each cell of the table."""

    way: Annotated[
        list[int] | None,
        typer.Option("--way", min=2, help="Classes of a task; repeatable.", show_default="5"),
    ] = None
    shot: Annotated[
        list[int] | None,
        typer.Option("--shot", min=1, help="Drawings of each class; repeatable.", show_default="1"),
    ] = None
    episodes: Annotated[
        int | None,
        typer.Option(
            "--episodes",
            min=2,
            help="Tasks drawn for each cell.",
            show_default=f"{EPISODES}, or {EPISODES_DECODING} if a rule decodes",
        ),
    ] = None
    within_alphabet: Annotated[
        bool,
        typer.Option(
            "--within-alphabet",
            help="Tasks within one alphabet, which are harder: --episodes in each with enough classes, and their mean.",
        ),
    ] = False
    queries: Annotated[
        int | None,
        typer.Option(
            "--queries",
            min=1,
            help="Queries of each class in a task, of the drawings left over.",
            show_default=f"all, or {QUERIES_DECODING} if a rule decodes",
        ),
    ] = None


@dataclass(frozen=True)
class Choice:
    """What chooses the class of a query."""

    rule: Annotated[
        list[Rule] | None,
        typer.Option(
            "--rule",
            help="What chooses the class; repeatable. posterior: most of q(a|x). prototype: nearest mean "
            "of a class's keys. likelihood: most of p(x, a), every "
            "slot decoded for every query. mixture: w log p(c|x) + (1 − w) log q(c|x) of these two.",
            show_default="posterior",
        ),
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help="Samples of z for each query and slot, where a rule decodes.",
            show_default=f"{SAMPLES}",
        ),
    ] = None
    weight: Annotated[
        float | None,
        typer.Option(
            "--mixture-weight",
            min=0,
            max=1,
            help="w, the weight of the likelihood in the mixture.",
            show_default=f"{MIXTURE_WEIGHT}",
        ),
    ] = None
    shifts: Annotated[
        int,
        typer.Option(
            "--shifts",
            min=0,
            max=8,
            help="Average embeddings over shifts of a drawing by so many pixels each way; 1 is 9 times the work.",
        ),
    ] = 0

    @property
    def rules(self) -> list[str]:
        """The names of the rules, each once."""
        return list(dict.fromkeys(chosen.value for chosen in self.rule or [Rule.POSTERIOR]))


@dataclass(frozen=True)
class Beside:
    """What stands beside the model."""

    with_baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Beside it scikit-learn, on pixels, on the model's embeddings and, of a folder's pictures, on HOG.",
        ),
    ] = False
    baseline_episodes: Annotated[
        int | None,
        typer.Option(
            "--baseline-episodes",
            min=2,
            help="The most tasks for --baselines, which are slower.",
            show_default=f"{BASELINE_EPISODES}",
        ),
    ] = None


@dataclass(frozen=True)
class Single:
    """What is said of single classes and queries."""

    by_class: Annotated[
        bool, typer.Option("--per-class", help="Accuracy of each class, and which are taken for one another.")
    ] = False
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a line for each query.", show_default=False),
    ] = None
    report: Report = None


@dataclass(frozen=True)
class Unknown:
    """Queries of classes that are not in memory."""

    asked: Annotated[
        bool,
        typer.Option(
            "--unknown",
            help="Ask as many drawings of classes that are not in memory, and tell how many of either are refused as "
            "none of these, as vma identify refuses.",
        ),
    ] = False
    reject: Annotated[float | None, REJECT_OPTION] = None
