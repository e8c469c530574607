"""`vma train`: starts a run, or goes on with one; an interrupt saves it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmacli import completion, options
from vmacli.output import Output, reporting
from vmacli.processes import processes, stopping
from vmacli.resuming import existing, refuse_conflicts
from vmacli.runs import is_path, load_data
from vmacli.session import LARGEST_SEED, Session, common, uses
from vmacli.training_words import document, step_line, summary_table, validation_line

if TYPE_CHECKING:
    from vmacore.config import Config
    from vmacore.data.characters import Dataset
    from vmacore.runs.directory import RunDirectory
    from vmacore.runs.finding import Location
    from vmacore.training.loop import StepReport, ValidationReport
    from vmacore.training.tensorboard import Events


unset = partial(typer.Option, show_default=False)  # an option that has no default to show
of_run = partial(unset, metavar="RUN", autocompletion=completion.all_runs)


@dataclass(frozen=True)
class Recipe:
    """What a new run is made of."""

    dataset: Annotated[
        str | None,
        unset(
            "--dataset",
            metavar="NAME|PATH",
            help="What to train on: a data set, or a folder with a folder of pictures for each class.",
            callback=options.dataset_or_folder,
            autocompletion=completion.datasets,
        ),
    ] = None
    frame: options.Frame = None
    recipe: Annotated[
        str | None,
        unset("--recipe", help="Settings; left out: those for the data set.", autocompletion=completion.recipes),
    ] = None
    protocol: Annotated[
        str | None,
        unset("--protocol", help="How its classes are split, such as Omniglot's 30-20 or vinyals; else its usual one."),
    ] = None
    estimator: Annotated[
        options.EstimatorName | None,
        unset("--estimator", help="How gradients are estimated; left out: the recipe's."),
    ] = None
    steps: Annotated[
        int | None,
        unset("--steps", min=1, max=10**9, help="Steps in all, those of a resumed run included."),
    ] = None


@dataclass(frozen=True)
class Origin:
    """The runs that a new run takes weights from."""

    init: Annotated[
        str | None, of_run("--init", help="Start from its weights; by its settings too, without --dataset.")
    ] = None
    addresses: Annotated[str | None, of_run("--addresses-from", help="Take h and h_q from its weights.")] = None
    revive: Annotated[
        bool, typer.Option("--revive", help="With --init: draw units and latents that are out of use anew.")
    ] = False


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
    origin: Origin,
    settings: Annotated[
        list[str] | None,
        unset("--set", metavar="KEY=VALUE", help="A setting, as model.latent=32; repeatable."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events into the run too.")
    ] = False,
    seed: Annotated[
        int | None,
        common(
            "--seed",
            min=0,
            max=LARGEST_SEED,
            help="Decides initial weights, episodes and noise; left out: the recipe's.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a model, or go on with --resume. Ctrl-C saves."""
    if resume is None and wanted.dataset is None and wanted.recipe is None and origin.init is None:
        raise typer.BadParameter("say what to train on, such as --dataset glyphs", param_hint="--dataset")
    if name is not None and not (name.isprintable() and name == Path(name).name and name[:1] not in "-."):
        raise typer.BadParameter("a plain name without slashes is needed; --runs-dir says where", param_hint="--name")

    with reporting(session) as output:
        from vmacore.distributed import check_shares, from_first, rank, world_size
        from vmacore.runs.directory import RunDirectory
        from vmacore.runs.finding import find_run
        from vmacore.runs.weights import newest_whole
        from vmacore.training.graphs import bfloat16_units
        from vmacore.training.loop import prepare
        from vmacore.training.loop import train as fit
        from vmacore.training.start import Start

        with processes(session) as where:
            leads = rank() == 0
            output.quiet = output.quiet or not leads
            first, of_addresses = (
                None if asked is None else find_run(asked, runs_dir=session.runs_dir)
                for asked in (origin.init, origin.addresses)
            )
            start = Start(first, of_addresses, origin.revive) if first or of_addresses or origin.revive else None
            run, at = (None, None) if resume is None else existing(resume, session.runs_dir)
            if run is None:
                config = _configuration(wanted, seed, settings or [], first)
            else:
                config = run.config
                asked = {
                    "--dataset": wanted.dataset, "--recipe": wanted.recipe, "--protocol": wanted.protocol,
                    "--frame": wanted.frame,
                    "--estimator": wanted.estimator, "--name": name, "--init": origin.init,
                    "--addresses-from": origin.addresses, "--revive": origin.revive or None, "--seed": seed,
                }  # fmt: skip
                refuse_conflicts(run, asked, settings or [])
            data = load_data(config, session, output)
            if is_path(config.data.dataset):
                data = _of_folder(data, config, output)
            if run is None:  # only now, so that missing data leave no empty run behind
                config = prepare(config, data, start)
                check_shares(config)
                path = from_first(str(_new(name, config, session.runs_dir).path) if leads else None)
                run = RunDirectory(Path(path), config)
            elif at is None:
                at, wrong = newest_whole(run)
                if wrong:
                    output.note(f"{wrong}; going on from step {at}")
            done, total = at or 0, wanted.steps or config.training.steps
            together = f"{world_size()} processes, " if world_size() > 1 else ""
            output.note(
                f"training on {data.name} {data.protocol}; "
                f"{data.preparation}; {data.binarisation}; run {run.path}, "
                f"{f'from step {done} ' if done else ''}to step {total}, {together}on {where}"
            )
            layers = config.model.network != "fully-connected" and config.training.precision != "bfloat16"
            if resume is None and layers and bfloat16_units(where):
                output.note("faster on this processor, which has units for it: --set training.precision=bfloat16")
            with (
                _kept_if_started(run, new=resume is None and leads),
                stopping() as stop,
                output.progress("steps", total) as progress,
                _events(run.path, done, output.note, wanted=tensorboard and leads) as events,
            ):
                progress.update(done)
                part = config.objective.trains

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
                output.result(document(summary, data, config), [summary_table(summary, part)], str(summary.run))
            if summary.interrupted:
                output.note(f"interrupted; saved at step {summary.step}; go on with: vma train --resume {run.path}")
        if summary.interrupted:  # only now that all are done: torchrun ends the others when one ends so
            raise typer.Exit(stop.exit_code)


@contextmanager
def _kept_if_started(run: RunDirectory, *, new: bool) -> Iterator[None]:
    """Removes a new run again if it fails before its first report, so that its name stays free."""
    try:
        yield
    except BaseException:
        if new and not (run.path / "metrics.jsonl").exists():
            shutil.rmtree(run.path, ignore_errors=True)
        raise


@contextmanager
def _events(run: Path, done: int, lost: Callable[[str], None], *, wanted: bool) -> Iterator[Events | None]:
    """TensorBoard events in the run, closed at the end; none unless they were asked for."""
    if not wanted:
        yield None
        return
    from vmacore.training.tensorboard import Events

    with closing(Events(run / "tensorboard", done, lost)) as events:
        yield events


def _configuration(wanted: Recipe, seed: int | None, settings: list[str], first: Location | None = None) -> Config:
    """The recipe, or the one named like the data set, with what the options and --set change in it.

    With neither, what the run of --init was trained by. A data set without a recipe takes the defaults, the paper's.

    Raises:
        VmaError: --frame of what is no folder, or a setting that there is not.
    """
    from vmacore.config import Config, DataConfig, load_recipe, recipe_names
    from vmacore.errors import VmaError

    if first is not None and wanted.recipe is None and wanted.dataset is None:
        config = first.config.model_copy(update={"init": None, "addresses_from": None, "revived": False})
    elif wanted.recipe is None and wanted.dataset not in recipe_names():
        config = Config(data=DataConfig(dataset=wanted.dataset or ""))
    else:
        config = load_recipe(wanted.recipe or wanted.dataset or "")
    if wanted.frame and not is_path(wanted.dataset or ""):
        raise VmaError("data sets are prepared as they are: give --frame with a folder of pictures (--dataset PATH)")
    changes = []
    if wanted.dataset is not None and wanted.dataset != config.data.dataset:
        changes += [f"data.dataset={wanted.dataset}", "data.protocol=none"]
    for key, value in (
        ("data.protocol", wanted.frame or wanted.protocol),
        ("objective.estimator", wanted.estimator),
        ("training.steps", wanted.steps),
        ("training.seed", seed),
    ):
        if value is not None:
            changes.append(f"{key}={value}")
    return config.with_overrides([*changes, *settings])


def _of_folder(data: Dataset, config: Config, output: Output) -> Dataset:
    """The classes of a folder that have enough drawings for the episodes.

    Raises:
        VmaError: fewer than two classes validate.
    """
    from vmacore.errors import VmaError

    episode = config.episode
    drawings = episode.targets + getattr(episode, "shots", 0) if episode.by_class else 1
    training, validation = (part.with_at_least(drawings) for part in (data.train, data.validation))
    fewer = data.train.n_classes + data.validation.n_classes - training.n_classes - validation.n_classes
    without = f"; left out, with fewer than {drawings} drawings: {fewer}" if fewer else ""
    output.note(f"{data.name}: {training.n_classes} classes train, {validation.n_classes} validate{without}")
    if validation.n_classes < 2:
        raise VmaError(
            f"{data.name} has too few classes with {drawings} drawings to train on, since a tenth validates: add to "
            "them up to 15 classes or more, or make folders train and validation"
        )
    return replace(data, train=training, validation=validation)


def _new(name: str | None, config: Config, runs_dir: Path) -> RunDirectory:
    """A new run directory; without a name it is DATASET-1, DATASET-2, …"""
    from vmacore.runs.directory import RunDirectory, Taken

    if name is not None:
        return RunDirectory.create(runs_dir / name, config)
    for number in itertools.count(1):
        with suppress(Taken):  # by another process too, since whoever looks first may come second
            return RunDirectory.create(runs_dir / f"{Path(config.data.dataset).name}-{number}", config)
    raise AssertionError
