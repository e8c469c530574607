"""Where an experiment runs: its folders, device, data and time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from vmacore.config import Config
from vmacore.data import load_dataset
from vmacore.data.characters import Dataset
from vmacore.episodes.base import Sampler
from vmacore.evaluation.likelihood import Score, score_episodes
from vmacore.experiments.lab.plans import Job, Plan, Trained, chosen, next_mark, reachable
from vmacore.models import GenerativeModel
from vmacore.training.loop import StepReport, prepare
from vmacore.training.start import Start

T = TypeVar("T")

LOGGER = logging.getLogger("vmacore")
TRAINING_SHARE = 0.75  # of the budget; the rest evaluates


class Stopped(Exception):
    """The user asked to stop; what was trained is saved."""


class Counter(Protocol):
    """Something counted, shown."""

    def update(self, done: float, total: float | None = None, detail: str = "") -> None:
        """So many are done."""


class Reporter(Protocol):
    """Who is told what is going on."""

    def note(self, line: str) -> None:
        """A line beside the result."""

    def progress(self, unit: str, total: float | None = None) -> AbstractContextManager[Counter]:
        """Something that is counted."""


class Logged:
    """A reporter that tells the logger `vmacore`."""

    def note(self, line: str) -> None:
        """A line of level INFO."""
        LOGGER.info(line)

    def progress(self, unit: str, total: float | None = None) -> AbstractContextManager[Counter]:
        """Lines of level DEBUG."""
        return nullcontext(_LoggedCounter(unit, total))


@dataclass
class _LoggedCounter:
    unit: str
    total: float | None

    def update(self, done: float, total: float | None = None, detail: str = "") -> None:
        LOGGER.debug("%s of %s %s %s", done, total or self.total, self.unit, detail)


@dataclass
class Lab:
    """What an experiment is given.

    out: the experiment's own folder. seeds: training seeds are range(seeds). budget: seconds for training and
    evaluation together, None: as long as it takes. steps: where trainings end, None: as their plans say; plans that
    start from another's weights keep their own. training: False evaluates what is trained already. stop: polled; true
    once the user wants to stop.
    """

    data_dir: Path
    runs_dir: Path
    out: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    reporter: Reporter = field(default_factory=Logged)
    seeds: int = 1
    budget: float | None = None
    steps: int | None = None
    training: bool = True
    offline: bool = False
    stop: Callable[[], bool] = lambda: False
    _began: float = field(default_factory=time.monotonic, init=False)
    _datasets: dict[tuple[object, ...], Dataset] = field(default_factory=dict, init=False)

    # Time.

    def time_left(self) -> float:
        """Seconds of the budget; infinite without one."""
        return math.inf if self.budget is None else self.budget - (time.monotonic() - self._began)

    def check_stop(self) -> None:
        """Stop if the user asked to.

        Raises:
            Stopped: the user asked to.
        """
        if self.stop():
            raise Stopped

    def affordable(self, measure: Callable[[int], object], wanted: int, *, least: int = 2, share: float = 1.0) -> int:
        """How many units of `measure(n)` fit into a share of the time left: `least` are timed. 0: no time at all."""
        left = self.time_left()
        if math.isinf(left) or left <= 0:
            return wanted if left > 0 else 0
        began = time.monotonic()
        measure(least)
        each = (time.monotonic() - began) / least
        return max(least, min(wanted, int(share * self.time_left() / max(each, 1e-9))))

    def within_budget(
        self, measure: Callable[[int], T], wanted: int, *, least: int = 2, share: float = 1.0
    ) -> T | None:
        """What `measure(n)` returns for as many units as are affordable; None where there is no time at all."""
        measured: dict[int, T] = {}

        def timed(count: int) -> None:
            measured[count] = measure(count)

        count = self.affordable(timed, wanted, least=least, share=share)
        if count and count not in measured:
            timed(count)
        return measured.get(count)

    def say(self, line: str) -> None:
        """A line beside the result."""
        self.reporter.note(line)

    # Data.

    def dataset(self, which: Config | str, protocol: str | None = None) -> Dataset:
        """A data set by name, or the one of a configuration.

        Raises:
            VmaError: it is not there.
        """
        seed, binarise, name, view = 0, "resampled", which, "pixels"
        if isinstance(which, Config):
            data = which.data
            name, protocol, seed = data.dataset, data.protocol, data.seed
            binarise, view = data.binarise, which.model.view
        assert isinstance(name, str)
        key = (name, protocol, seed, binarise, view)
        if key not in self._datasets:
            self._datasets[key] = load_dataset(
                name,
                protocol=protocol,
                data_dir=self.data_dir,
                seed=seed,
                offline=self.offline,
                binarise=binarise,
                view=view,
            )
        return self._datasets[key]

    # Training.

    def trained(self, *plans: Plan) -> list[Trained]:
        """Each plan's model, in the order given: what is missing is trained, what is half done is resumed.

        None goes on before the others have come as far, so that within any budget all can be compared at equal steps;
        a training that reached its plan's steps is taken at its best on validation. Shipped weights stand for a run
        that is missing, unless the others cannot come as far in time. Callers ask `comparable` all the same: a run may
        have been trained further by hand.

        Raises:
            VmaError: a run of that name has other settings, the data are missing, or the training failed.
            Stopped: the user asked to.
        """
        jobs = [self._job(plan) for plan in plans]
        for name in dict.fromkeys(name for job in jobs for name in job.to_download()):
            self.say(f"weights {name} may spare a training: vma download weights {name}")
        if self.training:
            self._train([job for job in jobs if not job.blocked])
        common = min((job.reached for job in jobs if job.reached), default=0)
        found = [chosen(job, common, self.device) for job in jobs]
        for one in found:
            self.say(f"{one.plan.run}: {one.source}")
        return found

    def _job(self, plan: Plan) -> Job:
        config = plan.config()
        dataset = self.dataset(config)
        target = plan.steps or config.training.steps
        if self.steps is not None and plan.init is None:
            target = self.steps
        job = Job(plan, prepare(config, dataset), dataset, self.runs_dir / plan.run, target, self.data_dir)
        if plan.init is not None and not job.ended and job.run is None:
            first = self.trained(plan.init)[0]
            if first.location is None:
                job.blocked = f"it starts from {plan.init.run}, of which there is {first.source}"
            else:
                job.start = Start.of(first.location)
        return job

    def _train(self, jobs: list[Job]) -> None:
        behind = [job for job in jobs if not job.ended]
        shipped = [job for job in jobs if job not in behind and job.step < job.target]
        while behind := [job for job in behind if job.step < job.target]:
            if shipped and not reachable(behind, self._training_left()):
                behind, shipped = behind + shipped, []
            mark = next_mark(behind, self._training_left())
            if mark is None:
                return
            for job in behind:
                if job.step < min(mark, job.target):
                    self._advance(job, min(mark, job.target))

    def _advance(self, job: Job, mark: int) -> None:
        self.check_stop()
        first = job.step
        self.say(f"training {job.plan.run} from step {first} to {mark}, of {job.target}")
        with self.reporter.progress("steps", job.target) as counter:
            counter.update(first)

            def on_step(report: StepReport) -> None:
                counter.update(report.step, detail=f"{job.plan.run}, NLL {report.nll:.1f}")

            job.advance(mark, device=self.device, stop=lambda: self.stop() or self.time_left() <= 0, on_step=on_step)
        self.check_stop()

    def _training_left(self) -> float:
        return math.inf if self.budget is None else self.time_left() - (1 - TRAINING_SHARE) * self.budget

    # Measuring.

    def scores(
        self,
        systems: Mapping[str, GenerativeModel],
        sampler: Sampler,
        *,
        samples: int,
        episodes: int,
        seed: int = 0,
        share: float = 1.0,
        fixed: bool = False,
    ) -> dict[str, Score]:
        """K-sample bounds of several systems on the same episodes; none where there is no time left.

        Within a budget fewer episodes than asked for may be taken, the first of them, the same for all:
        `Score.episodes` says how many. share: of the time left that this may take. fixed: all episodes, whatever time
        they take; the caller has seen to it.

        Raises:
            VmaError: as `score_episodes`.
            Stopped: the user asked to.
        """

        def measure(count: int) -> dict[str, Score]:
            with self.reporter.progress("episodes", count * len(systems)) as counter:
                found = {}
                for position, (name, model) in enumerate(systems.items()):

                    def progress(done: int, total: int, first: int = position * count) -> None:
                        counter.update(first + done)
                        self.check_stop()

                    found[name] = score_episodes(
                        model,
                        sampler,
                        samples=samples,
                        episodes=count,
                        seed=seed,
                        device=self.device,
                        progress=progress,
                    )
                return found

        if fixed or not systems:
            return measure(episodes)
        return self.within_budget(measure, episodes, share=share) or {}
