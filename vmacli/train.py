"""`vma train`: starts a run, or goes on with one; an interrupt saves it."""

from __future__ import annotations

import shlex
import time
from contextlib import closing, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmacli import completion
from vmacli.next_commands import next_commands
from vmacli.output import Output, reporting
from vmacli.processes import processes, stopping
from vmacli.resuming import existing, refuse_conflicts
from vmacli.session import Session, uses
from vmacli.tables.train import document, ending, faster_by, following, on_what, step_line, validation_line
from vmacli.train_options import SEED, Recipe, of_run, unset
from vmacore.shelf import is_folder

if TYPE_CHECKING:
    from vmacore.config import Config
    from vmacore.data.characters import Dataset
    from vmacore.training.loop import StepReport, ValidationReport


@uses("data_dir", "runs_dir", "device", "offline")
def train(
    session: Session,
    wanted: Recipe,
    name: Annotated[str | None, unset("--name", help="Name of the new run; left out: made up.")] = None,
    resume: Annotated[
        str | None,
        of_run("--resume", help="Go on with this run, or checkpoint of it.", autocompletion=completion.own_runs),
    ] = None,
    *,
    init: Annotated[
        str | None, of_run("--init", help="Start from its weights; by its settings too, without --dataset.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        unset("--set", metavar="KEY=VALUE", help="A setting, as model.latent=32; repeatable."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events into the run too.")
    ] = False,
    seed: Annotated[int | None, SEED] = None,
) -> None:
    """Train a model, or go on with --resume. Ctrl-C saves."""
    if resume is None and wanted.dataset is None and wanted.recipe is None and init is None:
        raise typer.BadParameter("say what to train on, such as --dataset glyphs", param_hint="--dataset")
    if name is not None and not (name.isprintable() and name == Path(name).name and name[:1] not in "-."):
        raise typer.BadParameter("a plain name without slashes is needed; --runs-dir says where", param_hint="--name")

    with reporting(session) as output:
        from vmacore.config.choosing import Wanted, configure
        from vmacore.distributed import rank
        from vmacore.runs.directory import RunDirectory
        from vmacore.runs.finding import find_run, settled
        from vmacore.runs.opening import check_still_there
        from vmacore.runs.summaries import run_summary
        from vmacore.runs.weights import newest_whole
        from vmacore.training.loop import train as fit
        from vmacore.training.new import begin, kept_if_started
        from vmacore.training.start import Start
        from vmacore.training.tensorboard import Events

        with processes(session) as where:
            leads = rank() == 0
            output.quiet = output.quiet or not leads
            find = partial(find_run, runs_dir=session.runs_dir, data_dir=session.data_dir)
            start = settled(lambda: Start.of(find(init))) if init is not None else None
            at: int | None = None
            if resume is None:
                config = configure(
                    Wanted(**asdict(wanted), seed=seed, settings=settings or ()), start.config if start else None
                )
                data = _load(config, session, output)
                run = begin(config, data, session.runs_dir, name, start)  # only now: missing data leave no run behind
            else:
                run, at = existing(resume, session.runs_dir)
                given = {f"--{option}": value for option, value in asdict(wanted).items() if option != "steps"}
                refuse_conflicts(run, given | {"--name": name, "--init": init, "--seed": seed}, settings or [])
                check_still_there(run.config, f"move it back, or write its new place into {run.path / 'config.toml'}")
                data = _load(run.config, session, output)
                if at is None:
                    at, wrong = newest_whole(run)
                    if wrong:
                        output.note(f"{wrong}; going on from step {at}")
            config, part = run.config, run.config.objective.trains
            began, done, total = time.monotonic(), at or 0, wanted.steps or config.training.steps
            output.note(on_what(data, run.path, done, total, where))
            if resume is None and (faster := faster_by(config, where)):
                output.note(faster)
            with (
                kept_if_started(run) if resume is None and leads else nullcontext(),
                stopping() as stop,
                output.progress("steps", total) as progress,
                closing(Events(run.path / "tensorboard", done, output.note))
                if tensorboard and leads
                else nullcontext() as events,
            ):
                progress.update(done)

                def on_step(report: StepReport) -> None:
                    progress.update(report.step, detail=step_line(report, part))
                    if events:
                        events.step(report)

                def on_validation(report: ValidationReport) -> None:
                    output.note(validation_line(report, part))
                    if events:
                        events.validation(report)

                summary = fit(
                    run,
                    data,
                    steps=wanted.steps,
                    device=where,
                    resume=resume is not None,
                    resume_from=at,
                    start=start,
                    on_step=on_step,
                    on_validation=on_validation,
                    stop=stop,
                )
            if leads:
                stands = run_summary(RunDirectory.open(run.path))  # its steps may be others than when it was made
                shown = ending(stands, data, (summary.step - done, time.monotonic() - began), summary)
                if not summary.interrupted:
                    shown += following(next_commands(run.path, config, data, session))
                output.result(document(summary, data, config), shown, str(summary.run))
            if summary.interrupted:
                output.note(
                    f"interrupted; saved at step {summary.step}; go on with: vma train --resume "
                    + shlex.quote(str(run.path))
                )
        if summary.interrupted:  # only now that all are done: torchrun ends the others when one ends so
            raise typer.Exit(stop.exit_code)


def _load(config: Config, session: Session, output: Output) -> Dataset:
    """The data, and what is said of a folder."""
    from vmacore.runs.opening import load_data
    from vmacore.training.new import trainable

    data = load_data(config, session.data_dir, output.note)
    if not is_folder(config.data.dataset):
        return data
    output.note((found := trainable(data, config)).in_words())
    found.check()
    return found.dataset
