"""The one-shot classification challenge of Omniglot (Lake et al. 2015): 20 runs, each 20-way and 1-shot in an alphabet.

A run has a drawing of each of 20 characters by one person, and one by another, who is to be understood. Here a class is
a character of a run, "run01/class01", and holds the first drawing and then the second. All of it is for tests; the
drawings are of Omniglot's 20 evaluation alphabets, so only weights of the 30 others may be judged by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vmacore.data.archives import wanted_files
from vmacore.data.characters import Characters, Dataset
from vmacore.data.prepared import read_prepared, write_prepared
from vmacore.data.sets.omniglot import BINARISATION, FINER_PREPARATION, PREPARATION, QUARTERS, decode, quarters
from vmacore.errors import VmaError

PROTOCOLS: tuple[str, ...] = ("runs",)
DRAWINGS_OF = ("omniglot",)
PREPARED = Path("omniglot-oneshot", "omniglot-oneshot-52x52-meanpool2.safetensors")
TITLE = "Omniglot's one-shot classification challenge"
BASE_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/one-shot-classification/"
FOLDER = PREPARED.parent
REGISTRY = {"all_runs.zip": "sha256:437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325"}
RUNS, WAY = 20, 20

_FILE = re.compile(r"(?:^|/)(?P<run>run\d\d)/(?P<file>training/class\d\d\.png|test/item\d\d\.png|class_labels\.txt)$")
_PAIR = re.compile(r"(run\d\d)/(test/item\d\d\.png)\s+\1/(training/class\d\d\.png)")
_WAY_OUT = "run `vma download omniglot-oneshot` (with `--from PATH` if you have all_runs.zip)"


def import_from(source: Path, data_dir: Path, runs: int = RUNS, way: int = WAY) -> Path:
    """Read the drawings and their answers, and write one small file into data_dir; returns its path.

    source: all_runs.zip, or a folder that holds it or its files. Contents are checked, not hashes.

    Raises:
        VmaError: something is missing, damaged or not the challenge's; the prepared file stays as it was.
    """
    found = {(match["run"], match["file"]): (where, content) for match, where, content in wanted_files(source, _FILE)}
    if not found:
        raise VmaError(f"no one-shot challenge in {source}: give all_runs.zip, or a folder that holds it")
    images, names = [], []
    for number in range(1, runs + 1):
        run = f"run{number:02}"
        for training, test in _pairs(run, found, source, way):
            for file in (training, test):
                if (run, file) not in found:
                    raise VmaError(f"the one-shot challenge in {source} lacks {run}/{file}; {_WAY_OUT}")
                where, content = found[run, file]
                images.append(quarters(decode(content, where)))
            names.append(f"{run}/{Path(training).stem}")
    labels = torch.arange(len(names)).repeat_interleave(2)
    drawings = Characters(torch.from_numpy(np.stack(images)), labels, tuple(names), levels=QUARTERS, finer=True)
    write_prepared(data_dir / PREPARED, drawings, FINER_PREPARATION)
    return data_dir / PREPARED


def _pairs(
    run: str, found: dict[tuple[str, str], tuple[str, bytes]], source: Path, way: int
) -> Iterator[tuple[str, str]]:
    """The training drawing and the test drawing of each character of a run, in the order of the former."""
    _, answers = found.get((run, "class_labels.txt"), ("", b""))
    pairs = sorted(
        (training, test) for of, test, training in _PAIR.findall(answers.decode("utf-8", "replace")) if of == run
    )
    if len({training for training, _ in pairs}) != way or len({test for _, test in pairs}) != way:
        raise VmaError(f"{run}/class_labels.txt in {source} does not pair {way} drawings with {way}; {_WAY_OUT}")
    yield from pairs


def read(data_dir: Path) -> Characters:
    """All runs, a class for each character, in the finer view.

    Raises:
        VmaError: not prepared yet, or the prepared file is damaged.
    """
    path = data_dir / PREPARED
    if not path.exists():
        raise VmaError(f"{TITLE} is not in {data_dir}: {_WAY_OUT}")
    return replace(read_prepared(path, FINER_PREPARATION, _WAY_OUT + " again"), finer=True)


def describe(data_dir: Path) -> str:
    """What is there, in a few words.

    Raises:
        VmaError: as in read.
    """
    drawings = read(data_dir)
    return f"{drawings.n_classes} characters in {RUNS} runs, {len(drawings.images)} drawings, 26×26"


def open_set(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """What `vmacore.data.load_dataset` calls."""
    return _tests(read(data_dir).in_pixels())


def open_finer(data_dir: Path, protocol: str, seed: int) -> Dataset:
    """The same in the finer view."""
    return _tests(read(data_dir))


def _tests(drawings: Characters) -> Dataset:
    none = drawings.select([])
    preparation = f"{PREPARATION}; h sees {FINER_PREPARATION}" if drawings.finer else PREPARATION
    return Dataset("omniglot-oneshot", PROTOCOLS[0], preparation, BINARISATION, none, none, drawings)
