"""Run directories: atomic saves and exact resume.

    runs/NAME/config.toml                  the whole configuration
    runs/NAME/metrics.jsonl                one line a report
    runs/NAME/latest, runs/NAME/best       small text files that name a step
    runs/NAME/.lock                        held by the process that trains the run
    runs/NAME/checkpoints/step-NNNNNNNN/   weights, averaged weights, Adam's two moments, state.json

Nothing is ever pickled. A checkpoint is written in a temporary folder beside its place, flushed to disk, renamed, and
only then pointed to, so that an interruption at any moment leaves the last good one. The latest, the best and the one
before the latest stay. Other folders with such names are removed where they hold what a save writes and nothing more.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from vmacore.config import Config
from vmacore.errors import VmaError, cut, reading, reason, writing
from vmacore.files import check_writable, content, discard, new_folder, replace, write

FORMAT = 1
WEIGHTS = {"raw": "weights.safetensors", "averaged": "averaged.safetensors"}
MOMENTS = {"exp_avg": "first-moment.safetensors", "exp_avg_sq": "second-moment.safetensors"}
STATE = "state.json"
CHECKSUMS = "sha256"  # of the files beside, in the state
LAST_STEP = 10**12
LARGEST = {"config.toml": 2**14, STATE: 2**16, "pointer": 12, "weights": 2**36}  # bytes that are read
SAVED = {*WEIGHTS.values(), *MOMENTS.values(), STATE}  # files that a save makes
OURS = re.compile(r"step-[0-9]{8,}|\.step-[0-9]{8,}\..+\.tmp")  # folders that a save makes


class Taken(VmaError):
    """The name of a new run is that of another."""


@dataclass(frozen=True)
class RunDirectory:
    """A folder that holds one run."""

    path: Path
    config: Config

    @staticmethod
    def create(path: Path, config: Config) -> RunDirectory:
        """Make the folder with its configuration, whole or not at all.

        Raises:
            Taken: the folder exists.
            VmaError: it cannot be written.
        """
        if path.exists():
            raise Taken(
                f"{path} exists already: resume it (--resume {shlex.quote(path.name)}) or choose another name (--name)"
            )
        try:
            with new_folder(path) as folder:
                write(folder / "config.toml", config.to_toml().encode())
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and path.is_dir():  # since we looked
                raise Taken(f"{path} was made by another process: wait for it, or choose another name") from error
            raise VmaError(
                f"cannot write a run at {path}: {reason(error)}; choose another folder (--runs-dir)"
            ) from error
        return RunDirectory(path, config)

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """Open an existing run.

        Raises:
            VmaError: there is none, or its configuration cannot be read.
        """
        try:
            text = content(path / "config.toml", LARGEST["config.toml"]).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise VmaError(f"{path} is not a run: it has no readable config.toml ({reason(error)})") from error
        try:
            return RunDirectory(path, Config.from_toml(text))
        except VmaError as error:
            raise VmaError(f"{path / 'config.toml'}: {error}") from error

    def with_config(self, config: Config) -> RunDirectory:
        """The same run, its stored configuration replaced."""
        replace(self.path / "config.toml", config.to_toml().encode())
        return RunDirectory(self.path, config)

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.path / "checkpoints" / f"step-{step:08d}"

    def pointed(self, name: str) -> int | None:
        """The step that `latest` or `best` names; None where there is no such checkpoint."""
        before = None
        while (step := self._named(name)) not in (None, before):
            assert step is not None
            if (self.checkpoint(step) / STATE).is_file():
                return step
            before = step  # unless a training has saved another meanwhile, and removed this one
        return None

    def _named(self, name: str) -> int | None:
        try:
            number = content(self.path / name, LARGEST["pointer"]).strip()
        except OSError:
            return None
        return int(number) if number.isdigit() else None

    def point(self, name: str, step: int) -> None:
        """Let `latest` or `best` name a step."""
        replace(self.path / name, str(step).encode())

    def go_back(self, step: int, best: int | None) -> None:
        """Let `latest` name a step, and `best` the best one until then, or nothing."""
        if best is not None:
            self.point("best", best)
        else:
            (self.path / "best").unlink(missing_ok=True)
        self.point("latest", step)

    def steps(self) -> list[int]:
        """The steps to go on from, the newest first: the one that `latest` names and those before; all if it is lost.

        A step after it is of a save that was killed, or of a training that went back.
        """
        folders = (file.parent.name for file in self.checkpoint(0).parent.glob(f"step-*/{STATE}"))
        latest = self.pointed("latest")
        steps = {int(name.removeprefix("step-")) for name in folders if OURS.fullmatch(name)}
        return sorted((step for step in steps if latest is None or step <= latest), reverse=True)

    def newest(self) -> int | None:
        """The first of `steps`; None without any."""
        return next(iter(self.steps()), None)

    def check_place(self) -> None:
        """Find out, before hours of work, whether checkpoints can be saved.

        Raises:
            VmaError: they cannot, or would go, through a link, to a place that others may need.
        """
        self._check_no_link()
        with writing(self.path / "checkpoints", "make room there, or start a new run elsewhere (--runs-dir)"):
            check_writable(self.checkpoint(0).parent / STATE)

    def _check_no_link(self) -> None:
        if self.checkpoint(0).parent.is_symlink():
            raise VmaError(f"{self.path}/checkpoints is a link, and others may need what it leads to: make it a folder")

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Save a checkpoint: `tensors` by file name, `state` as JSON. Drops all but best, latest and the one before.

        Raises:
            VmaError: it could not be written, or a weight is not finite; what was saved before is kept.
        """
        self._check_no_link()
        for file, named in tensors.items():
            for name, tensor in named.items():
                if not bool(tensor.isfinite().all()):
                    raise VmaError(f"{name} in {file} is not finite at step {step}: not saved; {self.way_back()}")
        try:
            self._put_aside(self.checkpoint(step))
            # A step saved again holds the same bytes; replace it so that its state is the newest.
            with new_folder(self.checkpoint(step), replaces=True) as folder:
                write_checkpoint(folder, {"step": step, **state}, tensors)
            if state.get("best", {}).get("step") == step:
                self.point("best", step)
            # Last: a run resumes from here, and what was pointed to after it would not be pointed to again.
            self.point("latest", step)
        except OSError as error:
            raise VmaError(
                f"cannot save step {step} in {self.path}: {error.strerror or error}; {self._kept()}"
            ) from error
        self._prune()

    def way_back(self) -> str:
        """How to go on after a training that diverged: from the best, since later ones may be half ruined already."""
        best = self.pointed("best")
        slower = f"--set optimiser.learning_rate={self.config.optimiser.learning_rate / 3:.2g}"
        if best is None:
            return f"train again at a lower rate ({slower}), or with a clip"
        source = shlex.quote(str(self.checkpoint(best)))
        return f"go on from step {best} at a lower rate: vma train --init {source} {slower}"

    def _kept(self) -> str:
        kept = self.newest()  # the step itself where only the pointer to it could not be written
        return "no checkpoint was saved before" if kept is None else f"the checkpoint of step {kept} is kept"

    def _prune(self) -> None:
        """Remove older checkpoints, and what killed saves left; what else a user put there stays."""
        keep = {self.checkpoint(step).name for step in (*self.steps()[:2], self.pointed("best")) if step is not None}
        for folder in self.checkpoint(0).parent.iterdir():
            if OURS.fullmatch(folder.name) and folder.name not in keep and _saved(folder):
                discard(folder)

    def _put_aside(self, folder: Path) -> None:
        """Rename what a user has put where a save goes."""
        if folder.exists() and not _saved(folder):
            names = (folder.with_name(f"{folder.name}-kept-{number}") for number in itertools.count(1))
            folder.rename(next(name for name in names if not name.exists()))


def _saved(folder: Path) -> bool:
    """Whether this is a folder that holds only what a save writes, so that removing it loses nothing else."""
    return folder.is_dir() and not folder.is_symlink() and SAVED.issuperset(path.name for path in folder.iterdir())


def write_checkpoint(folder: Path, state: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Fill a folder with tensors by file name, and with a state that knows the checksum of each file, its own included.

    Raises:
        OSError: it could not be written.
    """
    checksums = {}
    for file, named in tensors.items():
        stored = save({name: tensor.detach().cpu().contiguous() for name, tensor in named.items()})
        checksums[file] = hashlib.sha256(stored).hexdigest()
        write(folder / file, stored)
    document = {"format": FORMAT, **state, CHECKSUMS: checksums}
    checksums[STATE] = _checksum(document)
    write(folder / STATE, json.dumps(document, indent=1, allow_nan=False).encode())


def _checksum(document: Mapping[str, Any]) -> str:
    """Of a state, but for its own checksum."""
    others = {file: checksum for file, checksum in document.get(CHECKSUMS, {}).items() if file != STATE}
    text = json.dumps({**document, CHECKSUMS: others}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint.

    Raises:
        VmaError: absent, damaged, or of another format.
    """
    path = checkpoint / STATE
    with reading(path, "use another checkpoint"):
        state: dict[str, Any] = json.loads(content(path, LARGEST[STATE]))
        if isinstance(state, dict) and state.get("format", FORMAT) != FORMAT:
            raise VmaError(f"{checkpoint} has format {cut(str(state['format']))}, this version reads {FORMAT}")
        best = state["best"]
        _check(_is_step(state["step"]), "its step is none")
        _check(best == {} or (_is_step(best["step"]) and _is_number(best.get("nll", 0.0))), "its best is none")
        _check(_is_number(best.get("accuracy") or 0.0), "its best has no accuracy")
        checksums = state.get(CHECKSUMS, {})  # earlier versions wrote none
        _check(all(isinstance(value, str) for value in checksums.values()), "its checksums are none")
        _check(checksums.get(STATE, "") in ("", _checksum(state)), "its checksum is another")
    return state


def _check(sound: bool, otherwise: str) -> None:
    if not sound:
        raise ValueError(otherwise)


def _is_step(value: object) -> bool:
    return type(value) is int and 0 <= value <= LAST_STEP


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
