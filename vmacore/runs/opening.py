"""A run, opened with the data that it was trained on, or with other pictures in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vmacore.config import Config
from vmacore.data import load_dataset
from vmacore.data.characters import Characters, Dataset
from vmacore.data.folders import FolderDataset, in_words, is_path
from vmacore.errors import VmaError
from vmacore.memory.pictures import open_pictures
from vmacore.models import GenerativeModel
from vmacore.runs.finding import Location, check_decodes, find_run, settled
from vmacore.runs.weights import load_model
from vmacore.shelf import DATASETS

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

    dataset: of the run that is wanted; the path of a folder of pictures takes the place of the run's data, whatever
    weights these are. frame: of a folder's pictures, "ink" or "image"; None: as the run was trained, where that was on
    this folder, else "ink". addresses_suffice: whether h and h_q alone will do.

    Raises:
        VmaError: there is no such run, it is of another data set, its data are missing, or it was trained on addresses
            alone and these do not suffice.
    """
    folder = None
    if dataset is not None and dataset not in DATASETS and is_path(dataset):
        dataset = folder = str(Path(dataset).resolve())
    location = find_run(
        run,
        runs_dir=runs_dir,
        data_dir=data_dir,
        dataset=None if folder and run else dataset,
        any_shipped=folder is not None,
    )
    config = location.config
    trained_on = config.data.dataset
    if frame and not Path(folder or trained_on).is_absolute():
        raise VmaError(f"{trained_on} is prepared as it is: give --frame with a folder of pictures (--dataset PATH)")
    if folder or frame:
        protocol = frame or (config.data.protocol if folder == trained_on else None)
        data = config.data.model_copy(update={"dataset": folder or trained_on, "protocol": protocol})
        config = config.model_copy(update={"data": data})
    if not addresses_suffice:
        check_decodes(location)
    device = torch.device(device)
    tell(_in_words(location, weights, device))
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

    def read() -> tuple[Location, GenerativeModel]:
        newest = find_run(location.source, runs_dir=runs_dir)
        return newest, load_model(newest, weights=weights, device=device)

    newest, model = settled(read)
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
    )
    for line in in_words(found.left_out) if isinstance(found, FolderDataset) else ():
        tell(line)
    return found


def _in_words(location: Location, weights: str, device: torch.device, how: str = "") -> str:
    return f"{location.kind} {location.run}{how}, step {location.step}, {weights} weights, on {device}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
