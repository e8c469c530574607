"""`vma classify`: few-shot classification by the address posterior or by likelihood, nothing retrained."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from vmacli import options
from vmacli.classify_options import Beside, Choice, Single, Tasks, Unknown
from vmacli.opening import OpenRun, open_run
from vmacli.output import reporting
from vmacli.session import Session, uses
from vmacli.tables.classes import by_class
from vmacli.tables.classify import EMBEDDINGS, INTERVALS, accuracies, by_alphabet, refused
from vmacore.evaluation.tasks import BASELINE_EPISODES, DECODING, MIXTURE_WEIGHT, REJECT, SAMPLES
from vmacore.shelf import is_folder

if TYPE_CHECKING:
    from vmacore.evaluation.measuring import Measurements
    from vmacore.evaluation.tasks import FewShotTasks


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
    if (baselines.with_baselines or unknown.asked) and tasks.within_alphabet:
        raise typer.BadParameter("give --within-alphabet without --baselines and --unknown")
    rules = set(choice.rules)
    alone = baselines.baseline_episodes is not None and not baselines.with_baselines
    for given, option, needed in (
        (unknown.reject is not None and not unknown.asked, "--reject", "--unknown"),
        (alone, "--baseline-episodes", "--baselines"),
        (choice.weight is not None and "mixture" not in rules, "--mixture-weight", "--rule mixture"),
        (choice.samples is not None and not rules & set(DECODING), "--samples", "--rule likelihood or mixture"),
        (choice.shifts > 0 and rules == {"likelihood"}, "--shifts", "a rule that compares embeddings"),
    ):
        if given:
            raise typer.BadParameter(f"{option} changes nothing without {needed}")
    with reporting(session) as output:
        from vmacore.evaluation.answers import write_csv
        from vmacore.evaluation.csv_file import check_csv
        from vmacore.evaluation.measuring import measure_tasks
        from vmacore.evaluation.tasks import FewShotTasks

        asked = FewShotTasks(
            kinds=tuple(product(tasks.way or [5], tasks.shot or [1])),
            rules=tuple(choice.rules),
            samples=choice.samples or SAMPLES,
            weight=MIXTURE_WEIGHT if choice.weight is None else choice.weight,
            shifts=choice.shifts,
            episodes=tasks.episodes,
            queries=tasks.queries,
            within_alphabet=tasks.within_alphabet,
            baselines=(baselines.baseline_episodes or BASELINE_EPISODES) if baselines.with_baselines else 0,
            reject=(REJECT if unknown.reject is None else unknown.reject) if unknown.asked else None,
            seed=session.seed,
        )
        options.check_report(single.report)
        if single.csv is not None:
            check_csv(single.csv)
        opened = open_run(output, wanted, session, addresses_suffice=not asked.decodes)
        options.check_apart(opened.files, csv=single.csv, report=single.report)
        folder = is_folder(opened.dataset.name)
        keep = single.by_class or single.csv is not None or single.report is not None or folder
        if keep and tasks.within_alphabet:
            raise typer.BadParameter(
                "give --within-alphabet without --per-class, --csv, --report and a folder of pictures"
            )
        with output.progress("episodes") as progress:
            found = measure_tasks(
                opened.model,
                opened.characters(split),
                asked,
                answers=keep,
                frame=opened.dataset.protocol if folder else None,
                device=opened.device,
                progress=progress.update,
            )
        document = opened.document("classify", split=split) | _numbers(asked, found)
        if single.csv is not None:
            write_csv(single.csv, found.characters, found.answers)
            output.note(f"{sum(len(part.drawing) for part in found.answers)} answers in {single.csv}")
        if single.report is not None:
            _write_report(single.report, opened, found, asked, split)
            output.note(f"the report is {single.report}")
        shown: list[RenderableType] = [
            opened.heading(split, *_in_words(asked)),
            *([by_alphabet(found.results, found.by_alphabet)] if found.by_alphabet else []),
            accuracies(found.results, found.baselines),
            Text(INTERVALS),
            *(refused(found.refusals) if found.refusals else []),
            *([Text(EMBEDDINGS)] if found.baselines else []),
            *(by_class(found.per_class(), found.confusions()) if single.by_class else []),
        ]
        bare = [f"{item.way}\t{item.shot}\t{item.accuracy:.4f}\t{item.rule}" for item in found.results]
        bare += [f"{item.way}\t{item.shot}\t{item.accuracy:.4f}\t{item.name}" for item in found.baselines]
        output.result(document, shown, "\n".join(bare))


def _write_report(path: Path, opened: OpenRun, found: Measurements, asked: FewShotTasks, split: str) -> None:
    """The page of what was measured with its answers."""
    from vmacore.data.folders import FolderDataset
    from vmacore.reports.classified import About, classify_page, gather
    from vmacore.reports.page import save_page

    data = opened.dataset
    about = About(
        data=data.name,
        run=opened.location.run,
        words=opened.heading(split, *_in_words(asked)).plain,
        left_out=data.left_out if isinstance(data, FolderDataset) else (),
    )
    save_page(path, classify_page(gather(opened.model, found, asked, about, device=opened.device)))


def _numbers(asked: FewShotTasks, found: Measurements) -> dict[str, Any]:
    """What scripts read beside which run and data these are."""
    results = [asdict(item) | {"chance": 1 / item.way} for item in found.results]
    for item, parts in zip(results, found.by_alphabet, strict=False):
        item["alphabets"] = {name: part.accuracy for name, part in parts.items()}
    document = {
        "samples": asked.samples if asked.decodes else None,  # q(a|x) is computed, nothing is sampled
        "queries_per_class": asked.n_queries,
        "results": results,
        "baselines": [asdict(item) for item in found.baselines],
        "unknown": [asdict(item) for item in found.refusals],
    }
    if not found.answers:
        return document
    return document | {
        "per_class": [asdict(item) | {"accuracy": item.accuracy} for item in found.per_class()],
        "confusions": [asdict(item) for item in found.confusions()],
    }


def _in_words(asked: FewShotTasks) -> list[str]:
    """What of the tasks stands above the table."""
    drawn = f"{asked.n_episodes} episodes"
    drawn += " in each alphabet" if asked.within_alphabet else ""
    drawn += f", scikit-learn's rows the first {asked.n_baselines}" if 0 < asked.n_baselines < asked.n_episodes else ""
    queries = f"queries of each class: {asked.n_queries or 'all drawings left over'}"
    queries += f"; embeddings averaged over {(2 * asked.shifts + 1) ** 2} shifts" if asked.shifts else ""
    return [drawn, queries]
