"""Opening a run for a command that reads one: what is said of it, and where it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from vmacli.allocator import keep_freed_memory
from vmacli.options import Wanted
from vmacli.output import Output
from vmacli.session import Session

if TYPE_CHECKING:
    import torch

    from vmacore.data.characters import Characters, Dataset
    from vmacore.models import GenerativeModel
    from vmacore.runs import opening
    from vmacore.runs.finding import Location


@dataclass(frozen=True)
class OpenRun:
    """A run that was opened, and the options that a command was given."""

    run: opening.OpenRun
    session: Session

    @property
    def location(self) -> Location:
        return self.run.location

    @property
    def model(self) -> GenerativeModel:
        return self.run.model

    @property
    def dataset(self) -> Dataset:
        return self.run.dataset

    @property
    def device(self) -> torch.device:
        return self.run.device

    @property
    def files(self) -> list[str]:
        """Of all pictures that were read."""
        return [
            file for part in (self.dataset.train, self.dataset.validation, self.dataset.test) for file in part.files
        ]

    def characters(self, split: str) -> Characters:
        """A split, binary."""
        return self.run.characters(split)

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

    Raises:
        VmaError: as `vmacore.runs.opening.open_run`.
    """
    from vmacore.runs import opening

    run = opening.open_run(
        wanted.run,
        dataset=wanted.dataset,
        frame=wanted.frame,
        data_dir=session.data_dir,
        runs_dir=session.runs_dir,
        weights=session.weights,
        device=choose_device(session.device),
        addresses_suffice=addresses_suffice,
        tell=output.note,
    )
    return OpenRun(run, session)


def choose_device(name: str) -> torch.device:
    """`find_device`, and what makes the processor faster for the whole process.

    Raises:
        VmaError: this machine has no such device.
    """
    import torch

    from vmacore.runs.devices import find_device

    device = find_device(name)
    if device.type == "cpu":
        keep_freed_memory()
        # Of weights that have no gradient any more (pixels that are always blank) Adam's moments decay into numbers so
        # small that processors take many times as long over each.
        torch.set_flush_denormal(True)
    return device
