"""A folder of one's own pictures as a data set: a folder for each class, perhaps below one for each alphabet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vmacore.data.characters import SPLITS, Characters, Dataset
from vmacore.data.pictures import FRAMES, LEVELS, Preparation, Shades
from vmacore.data.splits import validation_classes
from vmacore.data.views import view_in_words
from vmacore.errors import VmaError

PROTOCOLS = FRAMES  # what a run on a folder has to keep: how pictures are framed
LITTER = ("thumbs.db", "desktop.ini")  # hidden files besides, and folders of systems
LINES = 20  # files that are left out and said by name
LITTER_FOLDERS = ("__macosx",)
_WAY_OUT = "give a folder with a folder of pictures for each class"


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a folder holds.

    characters: in the finer view, with their `files`. left_out: a line for each file that can't be used.
    """

    characters: Characters
    left_out: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FolderDataset(Dataset):
    """A folder in splits; left_out: a line for each file that can't be used."""

    left_out: tuple[str, ...]


def read_folder(folder: Path, preparation: Preparation) -> Pictures:
    """All pictures of a folder by class: that is the name of a picture's folder, below `folder`.

    Folders and files that are hidden or that systems leave behind are passed over, and folders without pictures.

    Raises:
        VmaError: there is no such folder, or no picture in it that can be used.
    """
    if not folder.is_dir():
        raise VmaError(f"{folder} is no folder: {_WAY_OUT}")
    return _read(folder, list(_files(folder, folder)), preparation)


def read_class(paths: Sequence[Path], name: str, preparation: Preparation) -> Pictures:
    """Pictures, and all those in folders, as one class; a file that is named twice is read once.

    Raises:
        VmaError: none of them can be used.
    """
    files = {file.resolve(): file for file in reversed(files_of(paths))}  # of two names the first
    return _read(paths[0], [(name, file) for file in reversed(files.values())], preparation)


def load(
    path: Path, frame: str, size: tuple[int, int], *, finer: bool, validation: Sequence[str] | None = None
) -> FolderDataset:
    """A folder as a data set.

    With folders train, validation and test, and no others, these are the splits. Else every class is for tests; to
    train on, a tenth of those with more than one picture validates (`validation_classes`) and the others train. A tenth
    of train's classes validates too where there is no folder validation. In place of a tenth, those that `validation`
    names `in_utf8`: a run names those that it began with, since another tenth validates once classes are added.

    Raises:
        VmaError: as in read_folder.
    """
    preparation = Preparation(size, frame)
    left_out: list[str] = []
    splits: dict[str, Characters] = {}
    names = [folder.name for folder in _visible(path) if folder.is_dir()] if path.is_dir() else []
    if names and set(names) <= set(SPLITS):
        for name in names:
            pictures = read_folder(path / name, preparation)
            splits[name] = pictures.characters
            left_out += pictures.left_out
    else:
        pictures = read_folder(path, preparation)
        splits["train"] = splits["test"] = pictures.characters
        left_out += pictures.left_out
    none = next(iter(splits.values())).select([])
    train, test = splits.get("train", none), splits.get("test", none)
    if "validation" in splits:
        validates = splits["validation"]
    else:
        chosen = _tenth(train) if validation is None else _named(validation, train)
        validates = train.select(chosen)
        train = train.select([c for c in range(train.n_classes) if c not in chosen])
    if not finer:
        train, validates, test = (part.in_pixels() for part in (train, validates, test))
    return FolderDataset(
        name=str(path),
        protocol=frame,
        preparation=preparation.in_words(),
        binarisation=view_in_words(finer=finer),
        left_out=tuple(left_out),
        train=train,
        validation=validates,
        test=test,
    )


def _tenth(train: Characters) -> list[int]:
    """The classes of `validation_classes`, of those with more than one picture."""
    several = [c for c, count in enumerate(train.counts.tolist()) if count > 1]
    return [several[place] for place in validation_classes([train.classes[c] for c in several])]


def _named(names: Sequence[str], train: Characters) -> list[int]:
    """The classes of these names `in_utf8`, but for those that are gone."""
    return [c for c, name in enumerate(in_utf8(train.classes)) if name in names]


def in_utf8(names: Sequence[str]) -> tuple[str, ...]:
    """Names as a configuration can hold them: bytes of a path that are not UTF-8 as escapes."""
    return tuple(name.encode("utf-8", "backslashreplace").decode() for name in names)


def in_words(left_out: Sequence[str]) -> list[str]:
    """Lines that say which files are left out, and why; of many, how many more."""
    lines = [f"left out: {line}" for line in left_out[:LINES]]
    if len(left_out) > LINES:
        lines.append(f"left out: {len(left_out) - LINES} more files; vma inspect FILE… says why")
    return lines


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The paths as they stand, but for each folder all `files_below` it."""
    return [file for path in paths for file in (files_below(path) if path.is_dir() else [path])]


def files_below(folder: Path) -> list[Path]:
    """All files that a person sees in a folder and in those below, by name."""
    own = [path for path in _visible(folder) if path.is_file()]
    return own + [path for _, path in _files(folder, folder)]


def _visible(folder: Path) -> list[Path]:
    """What a person sees in a folder, by name."""
    there = sorted(folder.iterdir(), key=lambda path: path.name)
    return [path for path in there if not path.name.startswith(".") and path.name.lower() not in LITTER]


def _files(folder: Path, root: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[str, Path]]:
    """Files below a folder, each with its class, sorted by class. A link to a folder above is not followed."""
    here = folder.resolve()
    if here in above:
        return
    there = _visible(folder)
    if folder != root:
        name = folder.relative_to(root).as_posix()
        yield from ((name, path) for path in there if path.is_file())
    for path in there:
        if path.is_dir() and path.name.lower() not in LITTER_FOLDERS:
            yield from _files(path, root, (*above, here))


def _read(folder: Path, files: list[tuple[str, Path]], preparation: Preparation) -> Pictures:
    whole: list[tuple[str, Path, Shades]] = []
    left_out: list[str] = []
    for name, path in files:
        try:
            whole.append((name, path, preparation.read(path)))
        except VmaError as error:
            left_out.append(str(error))
    if not whole:
        first = f" ({left_out[0]})" if left_out else ""
        raise VmaError(f"{folder} holds no picture of a class{first}: {_WAY_OUT}")
    classes = list(dict.fromkeys(name for name, _, _ in whole))
    place = {name: c for c, name in enumerate(classes)}
    characters = Characters(
        images=torch.from_numpy(np.stack([image for _, _, image in whole])),
        labels=torch.tensor([place[name] for name, _, _ in whole]),
        classes=tuple(classes),
        levels=LEVELS,
        finer=True,
        files=tuple(str(path) for _, path, _ in whole),
    )
    return Pictures(characters, tuple(left_out))
