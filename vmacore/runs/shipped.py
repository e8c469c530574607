"""Weights that belong to vma, and where they lie: in the package, or in the data folder once they are downloaded.

A checkout holds all of them in the package's folder. An installed package holds the few that pyproject.toml lists; the
others are published with each release, and `CATALOGUE` names them. Nothing here imports torch, since the shell asks for
names.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from vmacore.files import data_folder

PACKAGE = Path(__file__).parents[1] / "weights"
CATALOGUE = PACKAGE / "published.toml"  # written by `make weights-hashes`
OWN_PICTURES = "symbols"  # the weights made for pictures that nobody knows beforehand
DOWNLOADED = Path("weights")  # below the data folder
FILES = ("README.md", "averaged.safetensors", "config.toml", "state.json")  # of each


@dataclass(frozen=True)
class Published:
    """Weights that are published with a release, as NAME.zip.

    dataset, recipe: what they were trained on and by. bytes, sha256: of the zip.
    """

    name: str
    dataset: str
    recipe: str
    bytes: int
    sha256: str


def published() -> dict[str, Published]:
    """All that are published, by name."""
    catalogue = tomllib.loads(CATALOGUE.read_text("utf-8"))
    return {name: Published(name, **about) for name, about in catalogue.items()}


def shipped_weights(data_dir: Path | None = None) -> dict[str, Path]:
    """Weights that are here, by name, in alphabetical order.

    data_dir: where downloads lie; None: what VMA_DATA names, else data.
    """
    downloads = data_folder(data_dir) / DOWNLOADED
    folders = [*(downloads / name for name in published()), *PACKAGE.glob("*/")]  # the package's own count
    here = {folder.name: folder for folder in folders if (folder / "state.json").is_file()}
    return dict(sorted(here.items()))


def preferred_weights(data_dir: Path | None = None) -> list[str]:
    """Names of weights that are here, in the order in which they are taken where none are named and any will do."""
    # Those made for pictures of all kinds first, and those of a recipe of our own before those of the paper's.
    return sorted(shipped_weights(data_dir), key=lambda name: (name != OWN_PICTURES, not name.endswith("-best")))


def absent_weights(data_dir: Path | None = None) -> dict[str, Published]:
    """Weights that are published and not here, by name."""
    here = shipped_weights(data_dir)
    return {name: about for name, about in published().items() if name not in here}
