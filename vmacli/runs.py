"""Opening a run for a command that reads one: where it is, its weights, the data it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from vmacli.allocator import keep_freed_memory
from vmacli.options import Wanted
from vmacli.output import Output
from vmacli.session import Session

if TYPE_CHECKING:
    import torch

    from vmacore.config import Config
    from vmacore.data.characters import Characters, Dataset
    from vmacore.models import GenerativeModel
    from vmacore.runs.finding import Location


LINES = 20  # files that are left out and said by name


@dataclass(frozen=True)
class OpenRun:
    """A trained model beside what it was trained on."""

    location: Location
    model: GenerativeModel
    dataset: Dataset
    device: torch.device
    session: Session

    def characters(self, split: str) -> Characters:
        """A split, binary: grey levels drawn once, by the seed of the run's data."""
        return self.dataset.split(split).binarised(self.location.config.data.seed)

    def with_at_least(self, split: str, drawings: int, output: Output) -> Characters:
        """The classes of a split that have so many drawings, if there are any; a note tells how many have not."""
        characters = self.characters(split)
        enough = characters.with_at_least(drawings)
        if not enough.n_classes or enough is characters:
            return characters
        fewer = characters.n_classes - enough.n_classes
        output.note(f"left out, with fewer than {drawings} drawings: {fewer} of {characters.n_classes} classes")
        return enough

    def document(self, command: str, *, split: str) -> dict[str, Any]:
        """What stands in every JSON document about a run."""
        return {
            "command": command,
            "dataset": self.dataset.name,
            "protocol": self.dataset.protocol,
            "preparation": self.dataset.preparation,
            "binarisation": self.dataset.binarisation,
            "refit": False,  # scripts may read it
            "split": split,
            "run": self.location.run,
            "checkpoint": str(self.location.path),
            "step": self.location.step,
            "weights": self.session.weights,
            "seed": self.session.seed,
        }

    def heading(self, split: str, *more: str) -> Text:
        """What stands above every table: which data, prepared how, and what else decides the numbers."""
        data = self.dataset
        words = (
            f"{data.name} {data.protocol}",
            f"{split} split",
            data.preparation,
            data.binarisation,
            *more,
            f"seed {self.session.seed}",
        )
        return Text("; ".join(words))


def open_run(output: Output, wanted: Wanted, session: Session, *, addresses_suffice: bool = False) -> OpenRun:
    """The run that is wanted, by its name or as the newest on a data set; says on stderr which one it is.

    A folder of pictures takes the place of the run's data, whatever weights these are.

    Raises:
        VmaError: there is no such run, it is of another data set, its data are missing, or it was trained on addresses
            alone and these do not suffice.
    """
    from vmacore.errors import VmaError
    from vmacore.runs.finding import check_decodes, find_run, settled
    from vmacore.runs.weights import load_model

    folder = wanted.dataset if wanted.dataset and is_path(wanted.dataset) else None
    location = find_run(
        wanted.run,
        runs_dir=session.runs_dir,
        dataset=None if folder and wanted.run else wanted.dataset,
        any_shipped=folder is not None,
    )
    config = location.config
    trained_on = config.data.dataset
    if wanted.frame and not is_path(folder or trained_on):
        raise VmaError(f"{trained_on} is prepared as it is: give --frame with a folder of pictures (--dataset PATH)")
    if folder or wanted.frame:
        frame = wanted.frame or (config.data.protocol if folder == trained_on else None)
        data = config.data.model_copy(update={"dataset": folder or trained_on, "protocol": frame})
        config = config.model_copy(update={"data": data})
    if not addresses_suffice:
        check_decodes(location)
    where = choose_device(session.device)
    on = f"{session.weights} weights, on {where}"
    output.note(f"{location.kind} {location.run}, step {location.step}, {on}")
    found = load_data(config, session, output)
    if found.name == trained_on and set(found.train.files) & set(found.test.files):
        output.note(
            f"split test is every class of the folder, also those that {location.run} was trained on; "
            "--split validation is the others"
        )
    if found.test.size != config.model.size:
        raise VmaError(
            f"{location.run} was trained on images of {_size(config.model.size)}, but {found.name} here is "
            f"{_size(found.test.size)}: name another run"
        )

    def read() -> tuple[Location, GenerativeModel]:
        newest = find_run(location.source, runs_dir=session.runs_dir)
        return newest, load_model(newest, weights=session.weights, device=where)

    newest, model = settled(read)
    if newest.step != location.step:
        output.note(f"{newest.kind} {newest.run}, saved meanwhile, step {newest.step}, {on}")
    return OpenRun(
        location=replace(location, path=newest.path, step=newest.step),
        model=model,
        dataset=found,
        device=where,
        session=session,
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def is_path(name: str) -> bool:
    """Whether a run's data are a folder of pictures; options hold it in full (`options.dataset_or_folder`)."""
    return Path(name).is_absolute()


def load_data(config: Config, session: Session, output: Output) -> Dataset:
    """The data set that a configuration names; notes say which files of a folder are left out."""
    from vmacore.data import load_dataset
    from vmacore.data.folders import FolderDataset

    data = config.data
    found = load_dataset(
        data.dataset,
        protocol=data.protocol,
        data_dir=session.data_dir,
        seed=data.seed,
        offline=session.offline,
        binarise=data.binarise,
        view=config.model.view,
        size=config.model.size,
    )
    note_left_out(found.left_out if isinstance(found, FolderDataset) else (), output)
    return found


def note_left_out(lines: Sequence[str], output: Output) -> None:
    """Which files of a folder are left out, and why; many are counted."""
    for line in lines[:LINES]:
        output.note(f"left out: {line}")
    if len(lines) > LINES:
        output.note(f"left out: {len(lines) - LINES} more files; vma inspect FILE… says why")


def choose_device(name: str) -> torch.device:
    """`find_device`, and what makes the processor faster for the whole process.

    Raises:
        VmaError: this machine has no such device.
    """
    import torch

    from vmacore.devices import find_device

    device = find_device(name)
    if device.type == "cpu":
        keep_freed_memory()
        # Of weights that have no gradient any more (pixels that are always blank) Adam's moments decay into numbers so
        # small that processors take many times as long over each.
        torch.set_flush_denormal(True)
    return device
