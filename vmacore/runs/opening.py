"""A run, opened with the data that it was trained on, or with other pictures in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vmacore.config import Config
from vmacore.data import drawings_of, load_dataset
from vmacore.data.characters import Characters, Dataset
from vmacore.data.folders import FolderDataset, in_words
from vmacore.errors import VmaError
from vmacore.memory.pictures import open_pictures
from vmacore.models import GenerativeModel
from vmacore.runs.finding import Location, check_decodes, find_run, settled
from vmacore.runs.weights import load_model
from vmacore.shelf import DATASETS, is_folder

RUNS = Path("runs")
Tell = Callable[[str], None]  # what is given lines for people: which run it is, and which files are left out


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A trained model, ready for evaluation, and data to evaluate it on."""

    location: Location
    model: GenerativeModel
    dataset: Dataset
    device: torch.device

    def characters(self, split: str) -> Characters:
        """A split, binary: grey levels drawn once, by the seed of the run's data."""
        return self.dataset.split(split).binarised(self.location.config.data.seed)


def open_run(
    run: str | Path | None = None,
    *,
    dataset: str | None = None,
    frame: str | None = None,
    data_dir: Path | None = None,
    runs_dir: Path = RUNS,
    weights: str = "averaged",
    device: torch.device | str = "cpu",
    addresses_suffice: bool = False,
    tell: Tell = lambda line: None,
) -> OpenRun:
    """A run by its name, or the newest on a data set, else shipped weights, as `find_run` says, with its data.

    dataset: what is read in place of the run's data, where a run is named: another data set, or a folder of pictures by
    its path. Without a run the newest on this data set is taken; on a folder, else any shipped weights. frame: of a
    folder's pictures, "ink" or "image"; None: as the run was trained, where that was on this folder, else "ink".
    addresses_suffice: whether h and h_q alone will do.

    Raises:
        VmaError: there is no such run, its data are missing, the data set is of other sizes or shares drawings with the
            one that the run was trained on, or it was trained on addresses alone and these do not suffice.
    """
    own = dataset is not None and is_folder(dataset)
    if dataset is not None and own:
        dataset = str(Path(dataset).resolve())
    location = find_run(run, runs_dir=runs_dir, data_dir=data_dir, dataset=None if run else dataset, any_shipped=own)
    config = location.config
    trained_on = config.data.dataset
    read = dataset or trained_on
    if frame and not is_folder(read):
        raise VmaError(f"{read} is prepared as it is: give --frame with a folder of pictures (--dataset PATH)")
    if frame or read != trained_on:
        changes: dict[str, object] = {"dataset": read, "protocol": frame}
        if read != trained_on and (not is_folder(read) or Path(trained_on).is_dir()):  # else the folder has moved
            changes |= {"validation": None}
        data = config.data.model_copy(update=changes)
        config = config.model_copy(update={"data": data})
    else:
        check_still_there(config, "give its new place by --dataset")
    if not addresses_suffice:
        check_decodes(location)
    elsewhere = read != trained_on and not own
    if elsewhere:
        _check_apart(location, read)
    device = torch.device(device)
    tell(_in_words(location, weights, device))
    if elsewhere:
        began = f", and started from {config.init}" if config.init else ""
        tell(f"{location.run} was trained on {trained_on}{began}; here it reads {read}")
    found = load_data(config, data_dir, tell)
    if found.name == trained_on and set(found.train.files) & set(found.test.files):
        tell(
            f"split test is every class of the folder, also those that {location.run} was trained on; "
            "--split validation is the others"
        )
    if found.test.size != config.model.size:
        raise VmaError(
            f"{location.run} was trained on images of {_size(config.model.size)}, but {found.name} here is "
            f"{_size(found.test.size)}: name another run"
        )

    def load() -> tuple[Location, GenerativeModel]:
        newest = find_run(location.source, runs_dir=runs_dir)
        return newest, load_model(newest, weights=weights, device=device)

    newest, model = settled(load)
    if newest.step != location.step:
        tell(_in_words(newest, weights, device, ", saved meanwhile"))
    return OpenRun(replace(location, path=newest.path, step=newest.step), model, found, device)


def open_run_on_memory(
    file: Path,
    run: str | Path | None = None,
    *,
    classes: list[str] | None = None,
    runs_dir: Path = RUNS,
    data_dir: Path | None = None,
    weights: str = "averaged",
    device: torch.device | str = "cpu",
    tell: Tell = lambda line: None,
) -> OpenRun:
    """A run, else the weights that a memory in a file names, with the memory's drawings, or those of classes, as data.

    Raises:
        VmaError: there is no such memory, class or run, or the run can't read or draw such drawings.
    """
    memory = open_pictures(file)
    location = find_run(run or memory.run, runs_dir=runs_dir, data_dir=data_dir)
    check_decodes(location)
    data = memory.as_dataset(str(file), classes, location.config.model.view)
    if data.test.size != location.config.model.size:
        raise VmaError(f"{location.run} draws {location.config.model.size} pixels, the memory holds {data.test.size}")
    device = torch.device(device)
    tell(_in_words(location, weights, device))
    return OpenRun(location, load_model(location, weights=weights, device=device), data, device)


def check_still_there(config: Config, way_out: str) -> None:
    """Raises VmaError where a run's folder of pictures is gone."""
    folder = config.data.dataset
    if is_folder(folder) and not Path(folder).is_dir():
        raise VmaError(f"{folder}, the pictures that it was trained on, is gone: {way_out}")


def load_data(config: Config, data_dir: Path | None = None, tell: Tell = lambda line: None) -> Dataset:
    """The data set that a configuration names; `tell` hears which files of a folder are left out.

    Raises:
        VmaError: as `load_dataset`.
    """
    data = config.data
    found = load_dataset(
        data.dataset,
        protocol=data.protocol,
        data_dir=data_dir,
        seed=data.seed,
        binarise=data.binarise,
        view=config.model.view,
        size=config.model.size,
        validation=data.validation,
    )
    for line in in_words(found.left_out) if isinstance(found, FolderDataset) else ():
        tell(line)
    return found


def _check_apart(location: Location, dataset: str) -> None:
    """Check that the run was trained on no drawing of another data set, for its test classes would not be new.

    Raises:
        VmaError: they share drawings.
    """
    trained_on = location.config.data.dataset
    if trained_on in DATASETS and drawings_of(trained_on) & drawings_of(dataset):
        raise VmaError(
            f"{location.run} was trained on {trained_on}, which has drawings in common with {dataset}: leave out "
            "--dataset, or name a data set of other drawings"
        )


def _in_words(location: Location, weights: str, device: torch.device, how: str = "") -> str:
    return f"{location.kind} {location.run}{how}, step {location.step}, {weights} weights, on {device}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
