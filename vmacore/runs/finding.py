"""What a user means by RUN: a run directory, a checkpoint folder, or weights that belong to vma."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vmacore.config import Config
from vmacore.errors import Gone, VmaError, cut
from vmacore.runs.directory import STATE, RunDirectory, read_state
from vmacore.runs.shipped import OWN_PICTURES, absent_weights, preferred_weights, shipped_weights
from vmacore.spelling import did_you_mean, nearest

T = TypeVar("T")
TRIES = 20  # a training removes a checkpoint after two more saves


@dataclass(frozen=True)
class Location:
    """Weights that were found: where, and what they are.

    path: the folder with the weights. run: the name shown to people. kind: "run", "checkpoint" or "shipped".
    """

    path: Path
    run: str
    step: int
    config: Config
    kind: str

    @property
    def folder(self) -> Path | None:
        """The run directory with configuration and metrics; None of weights that came without it."""
        return None if self.kind == "shipped" else self.path.parent.parent

    @property
    def source(self) -> Path:
        """What leads to the same run again, or to the same weights."""
        return self.path.parent.parent if self.kind == "run" else self.path


def check_decodes(location: Location) -> None:
    """Check that the run can decode.

    Raises:
        VmaError: the run was trained on addresses alone.
    """
    if location.config.objective.trains == "addresses":
        raise VmaError(f"{location.run} was trained on addresses alone, and draws nothing: classify with it")


def settled(read: Callable[[], T]) -> T:
    """What `read` returns, which finds something and then reads it.

    A training that saves meanwhile may remove what was found, and point to another: then it is found again.
    """
    for _ in range(TRIES):
        with suppress(Gone):
            return read()
    return read()


def list_runs(runs_dir: Path) -> list[RunDirectory]:
    """All runs under a folder, the most recently trained first; what is no run is passed over."""
    runs = []
    for path in run_folders(runs_dir):
        with suppress(VmaError):
            runs.append(RunDirectory.open(path))
    return sorted(runs, key=last_saved, reverse=True)


def run_folders(runs_dir: Path) -> list[Path]:
    """Everything in a folder that may be a run, by name."""
    if not runs_dir.is_dir():
        return []
    # Other names are half-made, or made to deceive.
    return sorted(path for path in runs_dir.iterdir() if not path.name.startswith(".") and path.name.isprintable())


def last_saved(run: RunDirectory) -> float:
    """When a run was saved last, or, if it never was, made: in seconds since 1970; 0 where it has gone meanwhile."""
    for file in ("latest", "config.toml"):
        with suppress(OSError):
            return (run.path / file).stat().st_mtime
    return 0.0


def find_run(
    name: str | Path | None,
    *,
    runs_dir: Path,
    data_dir: Path | None = None,
    dataset: str | None = None,
    any_shipped: bool = False,
) -> Location:
    """What a user means by RUN: a run directory, a checkpoint folder, or shipped weights.

    Of a run the best checkpoint on validation is taken, else the latest. Without a name: the
    newest run (of the data set, where one is named) that has a checkpoint and is more than addresses, else shipped
    weights. any_shipped: whether of any data set, those for own pictures first, which else are not taken. data_dir: as
    for `shipped_weights`.

    Raises:
        VmaError: nothing found, a run without a checkpoint, or a name of another data set.
    """
    if name is None:
        return settled(lambda: _default_run(runs_dir, data_dir, dataset, any_shipped))
    location = settled(lambda: _named_run(name, runs_dir, data_dir))
    if dataset is not None and location.config.data.dataset != dataset:
        raise VmaError(f"{location.run} was trained on {location.config.data.dataset}, not {dataset}")
    return location


def _default_run(runs_dir: Path, data_dir: Path | None, dataset: str | None, any_shipped: bool) -> Location:
    wrong: VmaError | None = None
    for run in list_runs(runs_dir):
        trained = run.newest() is not None and run.config.objective.trains != "addresses"
        if trained and dataset in (None, run.config.data.dataset):
            try:
                return _of_run(run)
            except Gone:
                raise
            except VmaError as error:  # one that can't be read hides no other
                wrong = wrong or error
    if wrong is not None:  # nobody asked for shipped weights
        raise wrong
    shipped = shipped_weights(data_dir)
    for path in (shipped[name] for name in preferred_weights(data_dir)):
        location = _of_folder(path, RunDirectory.open(path).config, path.name, "shipped")
        wanted = dataset == location.config.data.dataset if dataset else location.run != OWN_PICTURES
        if any_shipped or wanted:
            return location
    which = f" for {dataset}" if dataset else ""
    way_out = f"train one (vma train --dataset {dataset or 'glyphs'})"
    if names := [name for name, weights in absent_weights(data_dir).items() if weights.dataset == dataset]:
        way_out += f", or get weights (vma download weights {names[0]})"
    raise VmaError(f"no trained run{which} in {runs_dir}: {way_out}")


def _named_run(name: str | Path, runs_dir: Path, data_dir: Path | None) -> Location:
    for path in (Path(name), runs_dir / name):
        if (path / "config.toml").is_file():
            run = RunDirectory.open(path)
            # Only shipped weights have configuration and state in one folder.
            shipped = (path / STATE).is_file()
            return _of_folder(path, run.config, path.name, "shipped") if shipped else _of_run(run)
        if (path / STATE).is_file() and (path.parent.parent / "config.toml").is_file():
            run = RunDirectory.open(path.parent.parent)
            return _of_folder(path, run.config, f"{run.path.name}/{path.name}", "checkpoint")
    weights = shipped_weights(data_dir)
    if folder := weights.get(str(name)):
        return _of_folder(folder, RunDirectory.open(folder).config, folder.name, "shipped")
    if str(name) in absent_weights(data_dir):
        raise VmaError(f"the weights {name} are not installed: get them (vma download weights {name})")
    for path in (Path(name), runs_dir / name):
        if path.exists():
            raise VmaError(f"{path} is not a run: it has no readable config.toml")
    raise no_such_run(name, runs_dir, weights)


def no_such_run(name: str | Path, runs_dir: Path, weights: Iterable[str] = ()) -> VmaError:
    """The error about a name that is no run's. weights: names of those that would do as well."""
    known = [*(run.path.name for run in list_runs(runs_dir)), *weights]
    meant = did_you_mean(nearest(Path(name).name, known))
    return VmaError(
        f"there is no run {cut(str(name))!r}" + (f"; {meant}known: {', '.join(known)}" if known else f" in {runs_dir}")
    )


def _of_run(run: RunDirectory) -> Location:
    step = run.pointed("best")
    step = run.newest() if step is None else step
    if step is None:
        raise Gone(
            f"{run.path} has no whole checkpoint yet: resume it (vma train --resume {shlex.quote(run.path.name)})"
        )
    return _of_folder(run.checkpoint(step), run.config, run.path.name, "run")


def _of_folder(path: Path, config: Config, name: str, kind: str) -> Location:
    return Location(path, name, read_state(path)["step"], config, kind)
