"""Training: the loop on one screen, and what it needs around it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vmacore import distributed
from vmacore.config import Config
from vmacore.data.characters import Dataset
from vmacore.data.folders import FolderDataset, in_utf8
from vmacore.episodes import training_sampler, validation_sampler
from vmacore.errors import VmaError, reason, short_of_memory
from vmacore.runs import metrics
from vmacore.runs.directory import RunDirectory
from vmacore.runs.locking import locked
from vmacore.runs.weights import check_fits, newest_whole, skeleton
from vmacore.training.graphs import matmul_precision
from vmacore.training.start import Start
from vmacore.training.step import METRICS
from vmacore.training.trainer import Trainer, ValidationReport

__all__ = ["StepReport", "TrainingSummary", "ValidationReport", "prepare", "train"]


@dataclass(frozen=True)
class StepReport:
    """Means over the steps since the last report, in nats."""

    step: int
    steps: int
    nll: float
    elbo: float
    reconstruction: float
    kl_address: float
    kl_latent: float
    prior_entropy: float
    posterior_entropy: float
    steps_per_second: float


@dataclass(frozen=True)
class TrainingSummary:
    """Where a run stands when `train` returns; nats are those reported last, NaN if there are none."""

    run: Path
    step: int
    steps_per_second: float
    nll: float
    kl_address: float
    kl_latent: float
    interrupted: bool


def prepare(config: Config, dataset: Dataset, start: Start | None = None) -> Config:
    """The configuration with what follows from the data filled in: protocol, image size, a folder's validation classes.

    start: the weights that the run is to start from, if any.

    Raises:
        VmaError: no model has these settings, a split cannot hold the episodes, or `start` has other networks.
    """
    size = dataset.train.size
    data: dict[str, object] = {"protocol": dataset.protocol}
    if isinstance(dataset, FolderDataset):
        data["validation"] = in_utf8(dataset.validation.classes)
    filled = config.model_copy(
        update={
            "data": config.data.model_copy(update=data),
            "model": config.model.model_copy(update={"size": size}),
        }
    )
    if start is not None:
        start.check(filled)
    skeleton(filled)
    training_sampler(filled, dataset.train, "cpu")
    validation_sampler(filled, dataset.validation, "cpu")  # now, or a run would end at its first validation
    return filled


def train(
    run: RunDirectory,
    dataset: Dataset,
    *,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
    resume_from: int | None = None,
    start: Start | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    on_validation: Callable[[ValidationReport], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainingSummary:
    """Train a run made by `RunDirectory.create(path, prepare(config, dataset))` up to `steps`.

    steps: where to end; None: as configured. With `resume`, on from the newest whole checkpoint, or from that of step
    `resume_from`, bit for bit as if never stopped on the same CPU with the same threads. start: weights of a new run.
    stop: polled every step; when true the state is saved and the summary says `interrupted`.

    Where torch.distributed has a process group (`vmacore.distributed`) every process calls this alike; they share the
    targets of each step, stop together, and the first alone writes, reports and validates.

    Raises:
        VmaError: a loss that is not finite, shapes that differ, nothing to resume, a disk that cannot be written, a run
            that another process trains, weights that this model cannot take, or targets that cannot be shared evenly.
    """
    distributed.check_shares(run.config)
    leads = distributed.rank() == 0
    with locked(run.path) if leads else nullcontext():
        if leads:
            run.check_place()
        stored = run.config
        if start is not None and not resume:
            start.check(stored)
        changes = [] if steps is None else [f"training.steps={steps}"]
        config = stored.with_overrides(changes)
        if start is not None and not resume:
            config = start.recorded(config)
        if resume and resume_from is None:
            resume_from, _ = newest_whole(run)
        if resume_from is not None:
            check_fits(run, resume_from)
        trainer = Trainer(RunDirectory(run.path, config), dataset, torch.device(device))
        if resume:
            trainer.restore(resume_from)
        if config != stored and leads:
            run.with_config(config)
        if start is not None and not resume:
            start.load(trainer.model)
            trainer.averaged.module.load_state_dict(trainer.model.state_dict())
            trainer.save()  # so that a run killed before its first checkpoint still resumes from these weights
        if distributed.from_first(str(trainer.step)) != str(trainer.step):
            raise VmaError(f"the processes see different checkpoints: {run.path} must be one folder for all")
        with matmul_precision(trainer.device, config.training.precision):
            return _loop(trainer, dataset, on_step if leads else None, on_validation if leads else None, stop)


def _loop(
    trainer: Trainer,
    dataset: Dataset,
    on_step: Callable[[StepReport], None] | None,
    on_validation: Callable[[ValidationReport], None] | None,
    stop: Callable[[], bool],
) -> TrainingSummary:
    run, config = trainer.run, trainer.run.config
    schedule = config.training
    sampler = training_sampler(config, dataset.train, trainer.device, schedule.seed)
    report: StepReport | None = None
    started, first = time.perf_counter(), trainer.step
    total, count = torch.zeros(len(METRICS), device=trainer.device), 0
    interrupted = False
    while trainer.step < schedule.steps:
        with nullcontext() if trainer.step > first else _fitting():
            total += trainer.update(sampler)
        count += 1
        step, last = trainer.step, trainer.step == schedule.steps
        interrupted = distributed.anyone(stop()) and not last
        validating = step % schedule.validate_every == 0 or last
        saving = step % schedule.checkpoint_every == 0 or last or interrupted
        if step % schedule.metrics_every == 0 or validating or saving:
            rate = (step - first) / (time.perf_counter() - started)
            values = dict(zip(METRICS, distributed.mean(total / count).tolist(), strict=True))
            if not math.isfinite(values["nll"]):
                raise VmaError(f"the loss was not finite before step {step}: stopped; {run.way_back()}")
            report = StepReport(step=step, steps=schedule.steps, steps_per_second=rate, **values)
            total.zero_()
            count = 0
            trainer.log("train", asdict(report))
            if on_step:
                on_step(report)
        if validating and trainer.leads:
            pause = time.perf_counter()
            validation = trainer.validate(dataset)
            saving = saving or validation.is_best
            trainer.log("validation", validation.numbers())
            if on_validation:
                on_validation(validation)
            if not math.isfinite(validation.nll):  # nothing is saved: these weights are of no use
                raise VmaError(f"the NLL on validation is not finite at step {step}: stopped; {run.way_back()}")
            started += time.perf_counter() - pause
        if saving:
            trainer.save()
        if interrupted:
            break
    shown: dict[str, Any] = asdict(report) if report else metrics.last(run.path, "train")
    rate, nll, kl_a, kl_z = (
        math.nan if (value := shown.get(key)) is None else float(value)
        for key in ("steps_per_second", "nll", "kl_address", "kl_latent")
    )
    return TrainingSummary(run.path, trainer.step, rate, nll, kl_a, kl_z, interrupted)


@contextmanager
def _fitting() -> Iterator[None]:
    """Around the first step, in which settings that do not go together show themselves."""
    try:
        yield
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if short_of_memory(error):
            raise
        raise VmaError(
            f"no model trains by these settings ({reason(error)}): change [model], [episode] or [objective]"
        ) from error
