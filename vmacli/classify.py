"""`vma classify`: few-shot classification by the address posterior, nothing retrained."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.table import Table

from vmacli import options
from vmacli.output import Progress, reporting, table
from vmacli.runs import open_run

if TYPE_CHECKING:
    from vmacore.evaluation.classification import Classification


def classify(
    run: options.Run = None,
    dataset: options.OfDataset = None,
    split: options.Split = "test",
    way: Annotated[
        list[int] | None,
        typer.Option("--way", min=2, help="Classes of a task; repeatable.", show_default="5"),
    ] = None,
    shot: Annotated[
        list[int] | None,
        typer.Option("--shot", min=1, help="Drawings of each class; repeatable.", show_default="1"),
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=2, help="Tasks drawn for each cell.")] = 1000,
    rule: Annotated[
        Literal["posterior"],
        typer.Option("--rule", help="What chooses the class; posterior: the class with most of q(a|x)."),
    ] = "posterior",
    data_dir: options.DataDir = Path("data"),
    runs_dir: options.RunsDir = Path("runs"),
    device: options.Device = "auto",
    seed: options.Seed = 0,
    weights: options.Weights = "averaged",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    offline: options.Offline = False,
    debug: options.Debug = False,
) -> None:
    """Classify drawings of new classes, every --way with every --shot."""
    with reporting(as_json=as_json, quiet=quiet, debug=debug) as output:
        from vmacore.evaluation.classification import check_task
        from vmacore.evaluation.classification import classify as measure

        opened = open_run(
            output,
            run,
            dataset=dataset,
            weights=weights,
            runs_dir=runs_dir,
            data_dir=data_dir,
            device=device,
            offline=offline,
        )
        characters = opened.characters(split)
        cells = [(w, s) for w in way or [5] for s in shot or [1]]
        for w, s in cells:  # all of them first: a cell that cannot be measured must not cost the others
            check_task(opened.model, characters, way=w, shot=s, episodes=episodes, rule=rule)
        found = []
        with output.progress("episodes", len(cells) * episodes) as progress:
            for number, (w, s) in enumerate(cells):
                found.append(
                    measure(
                        opened.model,
                        characters,
                        way=w,
                        shot=s,
                        episodes=episodes,
                        seed=seed,
                        device=opened.device,
                        rule=rule,
                        progress=partial(_after, progress, number * episodes),
                    )
                )
        document = opened.document("classify", split=split, seed=seed) | {
            "samples": None,  # q(a|x) is computed, nothing is sampled
            "results": [_cell(item) for item in found],
        }
        shown: list[RenderableType] = [opened.heading(split, f"seed {seed}"), _grid(found)]
        bare = "\n".join(f"{item.way}\t{item.shot}\t{item.accuracy:.4f}" for item in found)
        output.result(document, shown, bare)


def _after(progress: Progress, before: int, done: int, total: int) -> None:
    progress.update(before + done)


def _cell(item: Classification) -> dict[str, Any]:
    return {
        "way": item.way,
        "shot": item.shot,
        "rule": item.rule,
        "accuracy": item.accuracy,
        "ci95": item.ci95,
        "episodes": item.episodes,
        "queries": item.queries,
        "pixel_accuracy": item.pixel_accuracy,
        "pixel_ci95": item.pixel_ci95,
        "chance": 1 / item.way,
    }


def _grid(found: list[Classification]) -> Table:
    """Accuracies in per cent with 95 % intervals over episodes."""
    made = table("task", "q(a|x) %", "nearest pixels %", "chance %", "episodes", "queries")
    for item in found:
        made.add_row(
            f"{item.way}-way {item.shot}-shot",
            f"{100 * item.accuracy:.1f} ± {100 * item.ci95:.1f}",
            f"{100 * item.pixel_accuracy:.1f} ± {100 * item.pixel_ci95:.1f}",
            f"{100 / item.way:.1f}",
            str(item.episodes),
            str(item.queries),
        )
    return made
