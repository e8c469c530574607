"""The trainings that experiments need: found, resumed or made, and brought to equal steps within a budget.

Each is an ordinary run, the one that `vma train --recipe RECIPE --name RECIPE` makes, so that runs trained by hand are
taken up here and runs begun here can be gone on with by hand.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from vmacore.config import Config, load_recipe
from vmacore.data.characters import Dataset
from vmacore.errors import VmaError
from vmacore.models import GenerativeModel
from vmacore.runs import metrics
from vmacore.runs.directory import RunDirectory, read_state
from vmacore.runs.finding import Location, find_run
from vmacore.runs.shipped import absent_weights, shipped_weights
from vmacore.runs.weights import load_model
from vmacore.training.loop import StepReport, prepare, train
from vmacore.training.start import Start

FULL = 100_000  # the only count of updates that the paper prints (figure 2A)
PROBE = 20  # steps that tell a run's speed


@dataclass(frozen=True)
class Plan:
    """One training that an experiment needs.

    name: of the run; the recipe's where left out, and needed where `overrides` ("section.field=value") make it another
    run. steps: where it ends, None: as the recipe says. full: updates that count as the paper's full training. last:
    the last weights count, not the best on validation. init: a plan whose weights it starts from.
    """

    recipe: str
    name: str = ""
    overrides: tuple[str, ...] = ()
    seed: int = 0
    steps: int | None = None
    full: int = FULL
    last: bool = False
    init: Plan | None = None

    def __post_init__(self) -> None:
        if self.overrides and not self.name:
            raise ValueError("a plan with overrides needs a name of its own")

    @property
    def run(self) -> str:
        """Name of the run directory."""
        return (self.name or self.recipe) + (f"-seed{self.seed}" if self.seed else "")

    def seeded(self, seed: int) -> Plan:
        """The same training with another seed, from the start on."""
        return replace(self, seed=seed, init=self.init and self.init.seeded(seed))

    def starts_alike(self, config: Config) -> bool:
        """Whether a run began as this plan does: from nothing, or from weights."""
        return (config.init is None) == (self.init is None)

    def config(self) -> Config:
        """The recipe with what the plan changes in it."""
        return load_recipe(self.recipe).with_overrides([*self.overrides, f"training.seed={self.seed}"])


@dataclass(frozen=True, eq=False)
class Trained:
    """What there is of a plan.

    model: in evaluation mode, averaged weights; None where nothing was trained within the budget, and `source` says so.
    updates: of the training, of which `step` may be an earlier one; full: those of the paper's full training. ended:
    whether the plan's steps were reached.
    """

    plan: Plan
    model: GenerativeModel | None
    location: Location | None
    full: int
    source: str
    updates: int = 0
    ended: bool = False

    @property
    def step(self) -> int:
        return 0 if self.location is None else self.location.step

    @property
    def config(self) -> Config | None:
        """The configuration of the run."""
        return None if self.location is None else self.location.config

    def metrics(self, kind: str = "validation") -> list[dict[str, Any]]:
        """Rows of the run's metrics.jsonl of that kind, as far as the training counts; none for shipped weights."""
        if self.location is None or self.location.kind != "run":
            return []
        rows = metrics.rows(self.location.source)
        return [row for row in rows if row["kind"] == kind and row["step"] <= self.updates]


def comparable(trained: Sequence[Trained]) -> bool:
    """Whether each training reached its plan's steps, or all have made the same number of updates."""
    there = all(one.model is not None for one in trained)
    return there and (all(one.ended for one in trained) or len({one.updates for one in trained}) == 1)


@dataclass(eq=False)
class Job:
    """A plan on its way: its run, the step that it has reached and the one where it ends."""

    plan: Plan
    config: Config  # prepared
    dataset: Dataset
    path: Path  # of the run, there or not
    target: int
    data_dir: Path | None = None  # where downloaded weights lie
    start: Start | None = None  # weights to begin with
    rate: float | None = None  # steps/s, once measured
    overhead: float = 0.0  # seconds that going on takes besides, for loading, validating and saving
    blocked: str = ""  # why it cannot be trained
    run: RunDirectory | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if (self.path / "config.toml").exists():
            self.run = RunDirectory.open(self.path)
            differs = _difference(self.run.config, self.config)
            if differs:
                raise VmaError(
                    f"{self.path} was trained with another {differs} than this experiment's: rename it, or choose "
                    "another --runs-dir"
                )

    @property
    def step(self) -> int:
        return (self.run.newest() or 0) if self.run else 0

    @property
    def reached(self) -> int:
        """Updates of its training so far, or of the one that shipped weights come from."""
        shipped = [_length(one) for one in self.locations().values() if one.kind == "shipped"]
        return max([self.step, *shipped])

    @property
    def ended(self) -> bool:
        """Whether the training reached its plan's steps."""
        return self.reached >= self.target

    def locations(self) -> dict[int, Location]:
        """All weights there are of this plan, by step; those of its own run before shipped ones."""
        found: dict[int, Location] = {}
        for name, folder in shipped_weights(self.data_dir).items():
            config = RunDirectory.open(folder).config
            alike = config.recipe == self.config.recipe and not _difference(config, self.config)
            if alike and self.plan.starts_alike(config):
                at = int(read_state(folder)["step"])
                found[at] = Location(folder, name, at, config, "shipped")
        if self.run:
            steps = {self.run.newest(), self.run.pointed("best")} - {None, 0}
            for step in steps:
                assert step is not None
                found[step] = Location(self.run.checkpoint(step), self.run.path.name, step, self.run.config, "run")
        return found

    def to_download(self) -> list[str]:
        """Published weights by the same recipe that are not here; they may stand for a training that has not ended."""
        absent = absent_weights(self.data_dir).values()
        return [] if self.ended else [weights.name for weights in absent if weights.recipe == self.config.recipe]

    def advance(
        self,
        mark: int,
        *,
        device: torch.device,
        stop: Callable[[], bool],
        on_step: Callable[[StepReport], None],
    ) -> None:
        """Train on to step `mark`, or until `stop`; what was reached is saved."""
        new = self.run is None
        if self.run is None:
            self.run = RunDirectory.create(self.path, prepare(self.config, self.dataset, self.start))
        first, began, polled = self.step, time.monotonic(), 0

        def report(reported: StepReport) -> None:
            self.rate = reported.steps_per_second
            on_step(reported)

        def at_mark() -> bool:
            nonlocal polled
            polled += 1
            return first + polled >= mark or stop()

        resumed = self.run.newest() is not None
        total = max(self.target, self.run.config.training.steps)
        try:
            train(
                self.run,
                self.dataset,
                steps=total,
                device=device,
                resume=resumed,
                start=None if resumed else self.start,
                on_step=report,
                stop=at_mark,
            )
        except BaseException:
            if new and not (self.run.path / "metrics.jsonl").exists():
                shutil.rmtree(self.run.path, ignore_errors=True)  # so that its name stays free
                self.run = None
            raise
        self.run = RunDirectory.open(self.path)
        if self.rate:
            self.overhead = max(0.0, time.monotonic() - began - (self.step - first) / self.rate)


def next_mark(jobs: Sequence[Job], seconds: float) -> int | None:
    """The step that all jobs go to next, none before the others are there; None where there is no time for it.

    Within a limit, a round takes half of what is left as the speeds measured so far have it, or more where half is not
    worth it: the last rounds are short, and a machine that slows down does not cut one off.
    """
    lowest, highest = min(job.step for job in jobs), max(job.target for job in jobs)
    if seconds <= 0:
        return None
    if math.isinf(seconds):
        return highest
    rates = [job.rate for job in jobs if job.rate]
    if not rates:
        return min(highest, lowest + PROBE)
    if _seconds_to(highest, jobs, min(rates)) < 0.8 * seconds:
        return highest
    for share in (0.5, 0.8):
        below, above = lowest, highest  # _seconds_to(below) fits, _seconds_to(above) does not
        while above - below > 1:
            middle = (below + above) // 2
            fits = _seconds_to(middle, jobs, min(rates)) < share * seconds
            below, above = (middle, above) if fits else (below, middle)
        if below - lowest >= PROBE:
            return below
    return None


def reachable(jobs: Sequence[Job], seconds: float) -> bool:
    """Whether all jobs can reach their ends in that time, as far as their speeds are known."""
    rates = [job.rate for job in jobs if job.rate]
    return math.isinf(seconds) or not rates or _seconds_to(max(j.target for j in jobs), jobs, min(rates)) < seconds


def chosen(job: Job, step: int, device: torch.device) -> Trained:
    """A training that ended: its best weights on validation. Else those of that step, else those furthest trained."""
    locations = job.locations()
    location = locations.get(step) or (locations[max(locations)] if locations else None)
    best = job.step >= job.target and not job.plan.last
    if best:
        location = find_run(job.path, runs_dir=job.path.parent)
    if location is None:
        why = job.blocked or f"nothing trained: there is no run {job.plan.run} yet"
        return Trained(job.plan, None, None, job.plan.full, why)
    where = "shipped weights" if location.kind == "shipped" else "run"
    source = f"{where} {location.run}, step {location.step}"
    updates = job.step if best else _length(location) if location.kind == "shipped" else location.step
    if location.step < updates:
        source += f", the best on validation of {updates}"
    model = load_model(location, device=device)
    return Trained(job.plan, model, location, job.plan.full, source, updates, updates >= job.target)


def _length(shipped: Location) -> int:
    """Updates of the training that shipped weights come from: as many as their configuration says."""
    return max(shipped.step, shipped.config.training.steps)


def _seconds_to(mark: int, jobs: Sequence[Job], slowest: float) -> float:
    left = {job: min(mark, job.target) - job.step for job in jobs}
    return sum(steps / (job.rate or slowest) + job.overhead for job, steps in left.items() if steps > 0)


def _difference(theirs: Config, ours: Config) -> str:
    """The first setting that decides what is learned and is not the same; how long and how often does not count."""
    for name in ("data", "episode", "model", "objective", "labels", "optimiser"):
        one, other = getattr(theirs, name).model_dump(), getattr(ours, name).model_dump()
        for key in one:  # those that choose a kind come first, and the others depend on them
            if one[key] != other.get(key):
                return f"{name}.{key} ({one[key]}, not {other.get(key)})"
    same = theirs.training.seed == ours.training.seed
    return "" if same else f"training.seed ({theirs.training.seed}, not {ours.training.seed})"
