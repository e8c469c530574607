"""A new run: which of its data can be trained on, where it stands, and that it goes again if nothing comes of it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vmacore import distributed
from vmacore.config import Config
from vmacore.data.characters import Dataset
from vmacore.errors import VmaError
from vmacore.runs.directory import RunDirectory, Taken
from vmacore.training.loop import prepare
from vmacore.training.start import Start


@dataclass(frozen=True, eq=False)
class Trainable:
    """A folder's classes that have enough drawings for the episodes; how many that is, and how many have not."""

    dataset: Dataset
    drawings: int
    left_out: int

    def in_words(self) -> str:
        """How many classes there are."""
        data = self.dataset
        without = f"; left out, with fewer than {self.drawings} drawings: {self.left_out}" if self.left_out else ""
        return f"{data.name}: {data.train.n_classes} classes train, {data.validation.n_classes} validate{without}"

    def check(self) -> None:
        """Check that there are enough classes.

        Raises:
            VmaError: fewer than two classes validate.
        """
        if self.dataset.validation.n_classes < 2:
            raise VmaError(
                f"{self.dataset.name} has too few classes with {self.drawings} drawings to train on, since a tenth "
                "validates: add to them up to 15 classes or more, or make folders train and validation"
            )


def trainable(data: Dataset, config: Config) -> Trainable:
    """The classes of a folder of pictures that a configuration can train on; `Trainable.check` asks for enough."""
    episode = config.episode
    drawings = episode.targets + getattr(episode, "shots", 0) if episode.by_class else 1
    training, validation = (part.with_at_least(drawings) for part in (data.train, data.validation))
    fewer = data.train.n_classes + data.validation.n_classes - training.n_classes - validation.n_classes
    return Trainable(replace(data, train=training, validation=validation), drawings, fewer)


def begin(
    config: Config, data: Dataset, runs_dir: Path, name: str | None = None, start: Start | None = None
) -> RunDirectory:
    """A new run, ready for `train`: what follows from the data is filled in, and all processes have one folder.

    start: the weights that it is to start from, if any.

    Raises:
        VmaError: as `prepare`, targets that processes cannot share evenly, or as `new_run`.
    """
    config = prepare(config, data, start)
    distributed.check_shares(config)
    path = distributed.from_first(str(new_run(config, runs_dir, name).path) if distributed.rank() == 0 else None)
    return RunDirectory(Path(path), config)


def new_run(config: Config, runs_dir: Path, name: str | None = None) -> RunDirectory:
    """A new run directory; without a name it is DATASET-1, DATASET-2, …

    Raises:
        VmaError: the name is taken, or nothing can be written there.
    """
    if name is not None:
        return RunDirectory.create(runs_dir / name, config)
    data = Path(config.data.dataset).name.lstrip(".-") or "run"  # hidden runs are not found, and -x is an option
    for number in itertools.count(1):
        with suppress(Taken):  # by another process too, since whoever looks first may come second
            return RunDirectory.create(runs_dir / f"{data}-{number}", config)
    raise AssertionError


@contextmanager
def kept_if_started(run: RunDirectory) -> Iterator[None]:
    """Removes a new run again if it fails before its first report, so that its name stays free."""
    try:
        yield
    except BaseException:
        if not (run.path / "metrics.jsonl").exists():
            shutil.rmtree(run.path, ignore_errors=True)
        raise
