"""The weights that a release publishes: all in the checkout that pyproject.toml does not put into the package.

python -m tools.weights hashes         write their catalogue, vmacore/weights/published.toml
python -m tools.weights pack FOLDER    write their zips, and print the hashes
"""

from __future__ import annotations

import argparse
import hashlib
import tomllib
from pathlib import Path

import tomli_w

from vmacore.files import replace
from vmacore.runs.directory import RunDirectory
from vmacore.runs.downloading import packed_folder
from vmacore.runs.shipped import CATALOGUE, PACKAGE

PROJECT = PACKAGE.parents[1] / "pyproject.toml"
HEAD = "# Weights that are published with a release as NAME.zip. Written by `make weights-hashes`.\n\n"


def to_publish() -> list[Path]:
    """Folders of weights that are not in the package, by name."""
    listed = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["setuptools"]["package-data"]["vmacore"]
    packaged = {Path(pattern).parent for pattern in listed}
    folders = sorted(file.parent for file in PACKAGE.glob("*/state.json"))
    return [folder for folder in folders if folder.relative_to(PACKAGE.parent) not in packaged]


def catalogue() -> str:
    """What stands in the catalogue of the weights as they are in the checkout."""
    rows = {}
    for folder in to_publish():
        config, zipped = RunDirectory.open(folder).config, packed_folder(folder)
        rows[folder.name] = {
            "dataset": config.data.dataset,
            "recipe": config.recipe or "",
            "bytes": len(zipped),
            "sha256": hashlib.sha256(zipped).hexdigest(),
        }
    return HEAD + tomli_w.dumps(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("hashes")
    commands.add_parser("pack").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "hashes":
        replace(CATALOGUE, catalogue().encode())
        print(CATALOGUE)
        return
    for folder in to_publish():
        zipped = packed_folder(folder)
        path = arguments.folder / f"{folder.name}.zip"
        replace(path, zipped)
        print(f"{hashlib.sha256(zipped).hexdigest()}  {path}")


if __name__ == "__main__":
    main()
