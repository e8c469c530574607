"""`vma classify`: few-shot classification by the address posterior or by likelihood, nothing retrained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from vmacli import options
from vmacli.classify_options import EPISODES, EPISODES_DECODING, QUERIES_DECODING, Beside, Choice, Single, Tasks
from vmacli.output import Progress, reporting
from vmacli.runs import OpenRun, is_path, open_run
from vmacli.session import Session, uses
from vmacli.tables.classes import by_class
from vmacli.tables.classify import EMBEDDINGS, INTERVALS, accuracies, by_alphabet

if TYPE_CHECKING:
    from vmacore.evaluation.accuracy import Classification
    from vmacore.evaluation.answers import Answers
    from vmacore.evaluation.baselines import Baseline
    from vmacore.evaluation.classification import Classifier


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
) -> None:
    """Classify drawings of new classes, every --way with every --shot, by every --rule on the same tasks."""
    with reporting(session) as output:
        from vmacore.evaluation.accuracy import mean_of
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
        parts = _classifiers(opened, split, within_way, seed=session.seed, shifts=choice.shifts)
        for (w, s), classifier in product(cells, parts.values()):
            # All of them first: a cell that cannot be measured must not cost the others.
            classifier.check(
                way=w, shot=s, episodes=episodes, rules=choice.rules, samples=choice.samples, queries=queries
            )
        gradients = None
        if fitted and is_path(opened.dataset.name):
            from vmacore.evaluation.hog import hog_of_files

            gradients = hog_of_files(parts[""].characters.files, opened.dataset.protocol)
        found: list[Classification] = []
        within: list[dict[str, Classification]] = []  # by alphabet, for each of those
        beside: list[Baseline] = []
        answers: list[Answers] = []
        keep = single.by_class or single.csv is not None or is_path(opened.dataset.name)
        if keep and tasks.within_alphabet:
            raise typer.BadParameter("give --within-alphabet without --per-class, --csv and a folder of pictures")
        each = len(parts) * episodes + fitted
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
        document = opened.document("classify", split=split) | {
            "samples": choice.samples if decoding else None,  # q(a|x) is computed, nothing is sampled
            "queries_per_class": queries,
            "results": [
                _cell(item, named if tasks.within_alphabet else None) for item, named in zip(found, within, strict=True)
            ],
            "baselines": [asdict(item) for item in beside],
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
        shown: list[RenderableType] = [heading, accuracies(found, beside), Text(INTERVALS)]
        if tasks.within_alphabet:
            shown.insert(1, by_alphabet(found, within))
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
    from vmacore.data.splits import by_alphabet as apart
    from vmacore.errors import VmaError
    from vmacore.evaluation.classification import Classifier

    parts = {"": opened.characters(split)}
    if way:
        alphabets = apart(parts[""])
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
