"""Run directories: atomic saves and exact resume.

    runs/NAME/config.toml                  the whole configuration
    runs/NAME/metrics.jsonl                one line a report
    runs/NAME/latest, runs/NAME/best       small text files that name a step
    runs/NAME/.lock                        held by the process that trains the run
    runs/NAME/checkpoints/step-NNNNNNNN/   weights, averaged weights, Adam's two moments, state.json

Nothing is ever pickled. A checkpoint is written in a temporary folder beside its place, flushed to disk, renamed, and
only then pointed to, so that an interruption at any moment leaves the last good one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from vmacore.config import Config
from vmacore.errors import VmaError
from vmacore.files import new_folder, replace, write

FORMAT = 1
WEIGHTS = {"raw": "weights.safetensors", "averaged": "averaged.safetensors"}
MOMENTS = {"exp_avg": "first-moment.safetensors", "exp_avg_sq": "second-moment.safetensors"}
STATE = "state.json"
OURS = re.compile(r"step-\d{8,}|\.step-\d{8,}\.\d+\.tmp")  # folders that a save makes


@dataclass(frozen=True)
class RunDirectory:
    """A folder that holds one run."""

    path: Path
    config: Config

    @staticmethod
    def create(path: Path, config: Config) -> RunDirectory:
        """Make the folder with its configuration, whole or not at all.

        Raises:
            VmaError: the folder exists, or cannot be written.
        """
        if path.exists():
            raise VmaError(f"{path} exists already: resume it (--resume {path.name}) or choose another name")
        try:
            with new_folder(path) as folder:
                write(folder / "config.toml", config.to_toml().encode())
        except OSError as error:
            raise VmaError(f"cannot write a run at {path}: {error.strerror or error}") from error
        return RunDirectory(path, config)

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """Open an existing run.

        Raises:
            VmaError: there is none, or its configuration cannot be read.
        """
        try:
            text = (path / "config.toml").read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VmaError(f"{path} is not a run: it has no readable config.toml") from error
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
        try:
            step = int((self.path / name).read_text("ascii"))
        except (OSError, ValueError):
            return None
        return step if (self.checkpoint(step) / STATE).is_file() else None

    def newest(self) -> int | None:
        """The step that `latest` names, or the last whole checkpoint where that pointer was lost; None without any."""
        step = self.pointed("latest")
        if step is None:
            folders = (file.parent.name for file in self.checkpoint(0).parent.glob(f"step-*/{STATE}"))
            step = max((int(name.removeprefix("step-")) for name in folders if OURS.fullmatch(name)), default=None)
        return step

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Save a checkpoint: `tensors` by file name, `state` as JSON. Drops those neither latest nor best.

        Raises:
            VmaError: it could not be written, or a weight is not finite; what was saved before is kept.
        """
        for file, named in tensors.items():
            for name, tensor in named.items():
                if not bool(tensor.isfinite().all()):
                    raise VmaError(f"{name} in {file} is not finite at step {step}: nothing saved, {self._kept()}")
        try:
            # A step saved again holds the same bytes; replace it so that its state is the newest.
            with new_folder(self.checkpoint(step), replaces=True) as folder:
                for file, named in tensors.items():
                    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
                    write(folder / file, save(plain))
                write(folder / STATE, json.dumps({"format": FORMAT, "step": step, **state}, indent=1).encode())
            if state.get("best", {}).get("step") == step:
                replace(self.path / "best", str(step).encode())
            # Last: a run resumes from here, and what was pointed to after it would not be pointed to again.
            replace(self.path / "latest", str(step).encode())
        except OSError as error:
            raise VmaError(
                f"cannot save step {step} in {self.path}: {error.strerror or error}; {self._kept()}"
            ) from error
        self._prune()

    def _kept(self) -> str:
        latest = self.pointed("latest")
        return "no checkpoint was saved before" if latest is None else f"the checkpoint of step {latest} is kept"

    def _prune(self) -> None:
        """Remove checkpoints that nothing points to, and what killed saves left; a user's own folders stay."""
        keep = {self.checkpoint(step).name for name in ("latest", "best") if (step := self.pointed(name)) is not None}
        for folder in self.checkpoint(0).parent.iterdir():
            if OURS.fullmatch(folder.name) and folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint.

    Raises:
        VmaError: absent, damaged, or of another format.
    """
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE).read_text("utf-8"))
        if state["format"] != FORMAT or not (isinstance(state["step"], int) and isinstance(state["best"], dict)):
            raise VmaError(f"{checkpoint} has format {state['format']}, this version reads {FORMAT}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VmaError(f"{checkpoint / STATE} is missing or damaged: use another checkpoint") from error
    return state
