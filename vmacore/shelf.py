"""Plug-ins: a file each in the folder of a package. What stands there can be chosen; no other list names it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from vmacore.errors import VmaError
from vmacore.spelling import choose_one_of


class Shelf:
    """The plug-ins of a package. The name of one is that of its file, with - for _; listing names imports none of them.

    package: its full name. what: what it is, for errors. besides: files of the package that are no plug-ins.
    """

    def __init__(self, package: str, what: str, *besides: str) -> None:
        self.package, self.what, self.besides = package, what, besides

    def names(self) -> tuple[str, ...]:
        """All names, in alphabetical order."""
        files = (file for folder in self._folders() for file in folder.glob("[!_]*.py"))
        return tuple(sorted(file.stem.replace("_", "-") for file in files if file.stem not in self.besides))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __getitem__(self, name: str) -> ModuleType:
        """The module of that name.

        Raises:
            VmaError: there is none; the message lists the names.
        """
        return importlib.import_module(f"{self.package}.{self.check(name).replace('-', '_')}")

    def check(self, name: str) -> str:
        """The name, if it is one.

        Raises:
            VmaError: it is none; the message lists the names.
        """
        if name not in self.names():
            raise VmaError(f"there is no {self.what} {name!r}; {choose_one_of(name, self.names())}")
        return name

    def _folders(self) -> list[Path]:
        """Where the package looks for its files; not asked of the package itself, which would have to be imported."""
        module = sys.modules.get(self.package)
        if module is not None:
            return [Path(folder) for folder in module.__path__]
        return [Path(__file__).parent.joinpath(*self.package.split(".")[1:])]


DATASETS = Shelf("vmacore.data.sets", "data set")
EPISODES = Shelf("vmacore.episodes", "kind of episode", "base", "augmentation", "labels")
ESTIMATORS = Shelf("vmacore.estimators", "estimator", "base", "importance")
MODELS = Shelf("vmacore.models", "model", "base", "terms", "reference", "reference_residual")
NETWORKS = Shelf("vmacore.networks", "family of networks", "base", "eye", "layers", "patches", "strided_residual")


def is_folder(dataset: str) -> bool:
    """Whether what is given for a data set is no name but the path of a folder: of one that is there, or with a
    separator in it."""
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    return dataset not in DATASETS and (any(one in dataset for one in separators) or os.path.isdir(dataset))
