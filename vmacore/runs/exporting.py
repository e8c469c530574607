"""The averaged weights of a run as a small folder to pass on, with a card that says what they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vmacore.runs.card import card
from vmacore.runs.finding import Location, find_run, settled
from vmacore.runs.weights import export_weights


@dataclass(frozen=True)
class Exported:
    """A folder of weights: of which run, and its files."""

    location: Location
    folder: Path
    files: tuple[str, ...]
    bytes: int


def export_run(
    run: str | Path, folder: Path, *, runs_dir: Path = Path("runs"), data_dir: Path | None = None
) -> Exported:
    """Write the averaged weights in float16, with configuration and card; `find_run` takes the folder by its path.

    Raises:
        VmaError: there is no such run, its weights cannot be read, or the folder exists or cannot be written.
    """

    def written() -> Location:
        location = find_run(run, runs_dir=runs_dir, data_dir=data_dir)
        export_weights(location, folder, {"README.md": card(location, folder.resolve().name)})
        return location

    location = settled(written)
    files = sorted(folder.iterdir())
    return Exported(location, folder, tuple(file.name for file in files), sum(file.stat().st_size for file in files))
