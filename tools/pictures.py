"""Writing a set of pictures: a folder for each class, the sources beside them, and all of them on one sheet."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

CELL = 52  # pixels of a picture's side on a sheet

Classes = Mapping[str, Mapping[str, Image.Image]]  # the pictures of each class, by where they are from


def main(
    about: str, render: Callable[[Path], Classes], sources: Callable[[Path], Sequence[str]], columns: Sequence[str]
) -> None:
    """Run a script: render(packages) makes the pictures, and sources(packages) a line for each package of theirs."""
    parser = argparse.ArgumentParser(description=about.partition(":")[0])
    parser.add_argument("folder", type=Path, help="the folder to make")
    parser.add_argument("--packages", type=Path, help="where packages are kept (default: packages, beside FOLDER)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="a PNG to write besides, with all pictures on it")
    given = parser.parse_args()
    folder = given.folder.resolve()
    if folder.exists():
        raise SystemExit(f"{folder} is there already: remove it, or choose another folder")
    kept = (given.packages or folder.parent / "packages").resolve()
    classes = render(kept)
    save(folder, classes, sources(kept))
    if given.sheet:
        save_sheet(given.sheet, classes, columns)


def save(folder: Path, classes: Classes, sources: Sequence[str]) -> None:
    """Write FOLDER/CLASS/SOURCE.png, and FOLDER.txt, a line for each source; then print how many, and their hash.

    The hash is of names and pixels: with the same packages and the same version of what draws, it is the same.
    """
    digest = hashlib.sha256()
    for name, pictures in sorted(classes.items()):
        (folder / name).mkdir(parents=True)
        for source, picture in sorted(pictures.items()):
            picture.save(folder / name / f"{source}.png")
            digest.update(f"{name} {source} {picture.mode} {picture.size} ".encode() + picture.tobytes())
    folder.with_name(f"{folder.name}.txt").write_text("\n".join(sources) + "\n", "utf-8")
    count = sum(map(len, classes.values()))
    print(f"{count} pictures of {len(classes)} classes in {folder}; sha256 {digest.hexdigest()[:16]}")


def save_sheet(path: Path, classes: Classes, sources: Sequence[str]) -> None:
    """Write a PNG, a row for each class, a column for each source, grey where it has no picture."""
    sheet = Image.new("RGB", (len(sources) * CELL, len(classes) * CELL), (191, 191, 191))
    for row, pictures in enumerate(classes.values()):
        for column, source in enumerate(sources):
            if source in pictures:
                picture = pictures[source].convert("RGBA").resize((CELL - 4, CELL - 4), Image.Resampling.BOX)
                sheet.paste(picture, (column * CELL + 2, row * CELL + 2), picture)
    sheet.save(path)
