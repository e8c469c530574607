"""`vma classify`: few-shot classification by the address posterior or by likelihood, nothing retrained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from vmacli import options
from vmacli.accuracies import EMBEDDINGS, INTERVALS, by_alphabet, by_task, refused
from vmacli.classes import by_class
from vmacli.output import Progress, reporting
from vmacli.runs import OpenRun, is_path, open_run
from vmacli.session import Session, uses

if TYPE_CHECKING:
    from vmacore.evaluation.accuracy import Classification
    from vmacore.evaluation.answers import Answers
    from vmacore.evaluation.baselines import Baseline
    from vmacore.evaluation.classification import Classifier
    from vmacore.evaluation.refusals import Refusals


class Rule(StrEnum):
    """vmacore.evaluation.rules.RULES, which imports torch; an enumeration, since Typer has no lists of literals."""

    POSTERIOR = "posterior"
    PROTOTYPE = "prototype"
    LIKELIHOOD = "likelihood"
    MIXTURE = "mixture"


EPISODES, EPISODES_DECODING = 1000, 100
QUERIES_DECODING = 2


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
        int, typer.Option("--samples", min=1, help="Samples of z for each query and slot, where a rule decodes.")
    ] = 4
    weight: Annotated[
        float, typer.Option("--mixture-weight", min=0, max=1, help="w, the weight of the likelihood in the mixture.")
    ] = 0.3

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
        int, typer.Option("--baseline-episodes", min=2, help="The most tasks for --baselines, which are slower.")
    ] = 100


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
    reject: options.Reject = 0.05


@uses("data_dir", "runs_dir", "device", "seed", "weights", "offline")
def classify(
    session: Session,
    wanted: options.Wanted,
    split: options.Split = "test",
    *,
    tasks: Tasks,
    choice: Choice,
    baselines: Beside,
    single: Single,
    unknown: Unknown,
) -> None:
    """Classify drawings of new classes, every --way with every --shot, by every --rule on the same tasks."""
    with reporting(session) as output:
        from vmacore.evaluation.accuracy import mean_of
        from vmacore.evaluation.answers import check_csv
        from vmacore.evaluation.refusals import check_refusals, measure_refusals
        from vmacore.evaluation.rules import DECODING

        decoding = any(name in DECODING for name in choice.rules)
        opened = open_run(output, wanted, session, addresses_suffice=not decoding)
        episodes = tasks.episodes or (EPISODES_DECODING if decoding else EPISODES)
        queries = tasks.queries or (QUERIES_DECODING if decoding else None)
        fitted = min(episodes, baselines.baseline_episodes) if baselines.with_baselines else 0

        cells = list(product(tasks.way or [5], tasks.shot or [1]))
        if fitted and tasks.within_alphabet:
            raise typer.BadParameter("give --baselines or --within-alphabet")
        within_way = max(w for w, _ in cells) if tasks.within_alphabet else 0
        keep = single.by_class or single.csv is not None or is_path(opened.dataset.name)
        if tasks.within_alphabet and (keep or unknown.asked):
            raise typer.BadParameter(
                "give --within-alphabet without --per-class, --csv, --unknown and a folder of pictures"
            )
        if single.csv is not None:
            check_csv(single.csv)
        parts = _classifiers(opened, split, within_way, seed=session.seed, shifts=choice.shifts)
        for (w, s), classifier in product(cells, parts.values()):
            # All of them first: a cell that cannot be measured must not cost the others.
            classifier.check(
                way=w, shot=s, episodes=episodes, rules=choice.rules, samples=choice.samples, queries=queries
            )
            if unknown.asked:
                check_refusals(classifier, way=w, shot=s, episodes=episodes, reject=unknown.reject, queries=queries)
        gradients = None
        if fitted and is_path(opened.dataset.name):
            from vmacore.evaluation.hog import hog_of_files

            gradients = hog_of_files(parts[""].characters.files, opened.dataset.protocol)
        found: list[Classification] = []
        within: list[dict[str, Classification]] = []  # by alphabet, for each of those
        beside: list[Baseline] = []
        answers: list[Answers] = []
        refusals: list[Refusals] = []
        each = len(parts) * episodes + fitted + (episodes if unknown.asked else 0)
        with output.progress("episodes", len(cells) * each) as progress:
            for number, (w, s) in enumerate(cells):
                before = number * each
                measured = [
                    classifier.measure(
                        way=w,
                        shot=s,
                        episodes=episodes,
                        rules=choice.rules,
                        samples=choice.samples,
                        queries=queries,
                        weight=choice.weight,
                        progress=_after(progress, before + place * episodes),
                        record=answers.append if keep else None,
                    )
                    for place, classifier in enumerate(parts.values())
                ]
                for by_part in zip(*measured, strict=True):
                    found.append(mean_of(by_part))
                    within.append(dict(zip(parts, by_part, strict=True)))
                if fitted:
                    from vmacore.evaluation.baselines import baselines as fit_baselines

                    counted = _after(progress, before + episodes)
                    beside += fit_baselines(
                        classifier,
                        way=w,
                        shot=s,
                        episodes=fitted,
                        queries=queries,
                        gradients=gradients,
                        progress=counted,
                    )
                if unknown.asked:
                    refusals.append(
                        measure_refusals(
                            parts[""],
                            way=w,
                            shot=s,
                            episodes=episodes,
                            reject=unknown.reject,
                            queries=queries,
                            progress=_after(progress, before + len(parts) * episodes + fitted),
                        )
                    )
        document = opened.document("classify", split=split) | {
            "samples": choice.samples if decoding else None,  # q(a|x) is computed, nothing is sampled
            "queries_per_class": queries,
            "results": [
                _cell(item, named if tasks.within_alphabet else None) for item, named in zip(found, within, strict=True)
            ],
            "baselines": [asdict(item) for item in beside],
            "unknown": [asdict(item) for item in refusals],
        }
        if keep:
            from vmacore.evaluation.answers import confusions, per_class, write_csv

            characters = parts[""].characters
            classes, confused = per_class(characters, answers), confusions(characters, answers)
            document |= {
                "per_class": [asdict(item) | {"accuracy": item.accuracy} for item in classes],
                "confusions": [asdict(item) for item in confused],
            }
            if single.csv is not None:
                write_csv(single.csv, characters, answers)
                output.note(f"{sum(len(part.drawing) for part in answers)} answers in {single.csv}")
        drawn = (
            f"{episodes} episodes"
            + (" in each alphabet" if tasks.within_alphabet else "")
            + (f", scikit-learn's rows the first {fitted}" if 0 < fitted < episodes else "")
        )
        asked = f"queries of each class: {queries or 'all drawings left over'}"
        if choice.shifts:
            asked += f"; embeddings averaged over {(2 * choice.shifts + 1) ** 2} shifts"
        heading = opened.heading(split, drawn, asked)
        shown: list[RenderableType] = [heading, by_task(found, beside), Text(INTERVALS)]
        if tasks.within_alphabet:
            shown.insert(1, by_alphabet(found, within))
        if refusals:
            shown += refused(refusals)
        if beside:
            shown.append(Text(EMBEDDINGS))
        if single.by_class:
            shown += by_class(classes, confused)
        bare = [f"{item.way}\t{item.shot}\t{item.accuracy:.4f}\t{item.rule}" for item in found]
        bare += [f"{item.way}\t{item.shot}\t{item.accuracy:.4f}\t{item.name}" for item in beside]
        output.result(document, shown, "\n".join(bare))


def _classifiers(opened: OpenRun, split: str, way: int, *, seed: int, shifts: int) -> dict[str, Classifier]:
    """One for the whole split, or, if `way` is not 0, for each alphabet with that many classes.

    Raises:
        VmaError: no alphabet has.
    """
    from vmacore.data.splits import by_alphabet
    from vmacore.errors import VmaError
    from vmacore.evaluation.classification import Classifier

    parts = {"": opened.characters(split)}
    if way:
        alphabets = by_alphabet(parts[""])
        parts = {name: part for name, part in alphabets.items() if part.n_classes >= way}
        if not parts:
            most = max(part.n_classes for part in alphabets.values())
            raise VmaError(f"no alphabet of this split has {way} classes: choose a --way up to {most}")
    return {
        name: Classifier(opened.model, part, seed=seed, device=opened.device, shifts=shifts)
        for name, part in parts.items()
    }


def _after(progress: Progress, before: int) -> Callable[[int, int], None]:
    """Counts on from what was done before."""

    def update(done: int, total: int) -> None:
        progress.update(before + done)

    return update


def _cell(item: Classification, within: dict[str, Classification] | None) -> dict[str, Any]:
    named = {} if within is None else {"alphabets": {name: part.accuracy for name, part in within.items()}}
    return asdict(item) | {"chance": 1 / item.way} | named
