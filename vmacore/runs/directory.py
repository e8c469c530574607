"""Run directories: atomic saves, exact resume, finding and loading what was trained.

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
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vmacore.config import Config
from vmacore.errors import VmaError

FORMAT = 1
WEIGHTS = {"raw": "weights.safetensors", "averaged": "averaged.safetensors"}
MOMENTS = {"exp_avg": "first-moment.safetensors", "exp_avg_sq": "second-moment.safetensors"}
STATE = "state.json"
SHIPPED = Path(__file__).parents[1] / "weights"


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
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _temporary(path)
            temporary.mkdir()
            _write(temporary / "config.toml", config.to_toml().encode())
            temporary.rename(path)
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
        replace_file(self.path / "config.toml", config.to_toml().encode())
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
            whole = sorted(self.checkpoint(0).parent.glob(f"step-*/{STATE}"))
            step = int(whole[-1].parent.name.removeprefix("step-")) if whole else None
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
        final = self.checkpoint(step)
        temporary = _temporary(final)
        try:
            final.parent.mkdir(exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for file, named in tensors.items():
                plain = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
                _write(temporary / file, save(plain))
            _write(temporary / STATE, json.dumps({"format": FORMAT, "step": step, **state}, indent=1).encode())
            _flush_folder(temporary)
            # A step saved again holds the same bytes; replace it so that its state is the newest.
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            _flush_folder(final.parent)
            if state.get("best", {}).get("step") == step:
                replace_file(self.path / "best", str(step).encode())
            # Last: a run resumes from here, and what was pointed to after it would not be pointed to again.
            replace_file(self.path / "latest", str(step).encode())
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise VmaError(
                f"cannot save step {step} in {self.path}: {error.strerror or error}; {self._kept()}"
            ) from error
        self._prune()

    def _kept(self) -> str:
        latest = self.pointed("latest")
        return "no checkpoint was saved before" if latest is None else f"the checkpoint of step {latest} is kept"

    def _prune(self) -> None:
        keep = {self.checkpoint(step).name for name in ("latest", "best") if (step := self.pointed(name)) is not None}
        for folder in self.checkpoint(0).parent.iterdir():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Location:
    """Weights that were found: where, and what they are.

    path: the folder with the weights. run: the name shown to people. kind: "run", "checkpoint" or "shipped".
    """

    path: Path
    run: str
    step: int
    config: Config
    kind: str


def list_runs(runs_dir: Path) -> list[RunDirectory]:
    """All runs under a folder, the most recently trained first; what is no run is passed over."""
    if not runs_dir.is_dir():
        return []
    runs = []
    for path in sorted(runs_dir.iterdir()):
        if path.name.startswith("."):  # half-made: `create` was killed
            continue
        try:
            runs.append(RunDirectory.open(path))
        except VmaError:
            continue
    return sorted(runs, key=_last_saved, reverse=True)


def shipped_weights() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{STATE}"))}


def export_weights(location: Location, folder: Path) -> None:
    """Write the averaged weights in float16, with configuration and step, as a folder that `find_run` takes by path.

    Raises:
        VmaError: the folder exists or cannot be written, or the weights cannot be read.
    """
    weights = read_tensors(location.path / WEIGHTS["averaged"])
    run = RunDirectory.create(folder, location.config)
    state = {"format": FORMAT, "step": location.step, "best": read_state(location.path)["best"]}
    try:
        _write(run.path / WEIGHTS["averaged"], save({name: tensor.half() for name, tensor in weights.items()}))
        _write(run.path / STATE, json.dumps(state, indent=1).encode())
    except OSError as error:
        raise VmaError(f"cannot write weights at {folder}: {error.strerror or error}") from error


def find_run(name: str | Path | None, *, runs_dir: Path, dataset: str | None = None) -> Location:
    """What a user means by RUN: a run directory, a checkpoint folder, or shipped weights.

    Of a run the best checkpoint on validation is taken, else the latest. Without a name: the
    newest run (of the data set, where one is named) that has a checkpoint and is more than addresses, else shipped
    weights.

    Raises:
        VmaError: nothing found, a run without a checkpoint, or a name of another data set.
    """
    if name is None:
        return _default_run(runs_dir, dataset)
    location = _named_run(name, runs_dir)
    if dataset is not None and location.config.data.dataset != dataset:
        raise VmaError(f"{location.run} was trained on {location.config.data.dataset}, not {dataset}")
    return location


def _default_run(runs_dir: Path, dataset: str | None) -> Location:
    for run in list_runs(runs_dir):
        trained = run.newest() is not None and run.config.objective.part != "addresses"
        if trained and dataset in (None, run.config.data.dataset):
            return _of_run(run)
    # Those of a recipe of our own before those of the paper's.
    for path in sorted(shipped_weights().values(), key=lambda path: not path.name.endswith("-best")):
        location = _of_folder(path, RunDirectory.open(path).config, path.name, "shipped")
        if dataset in (None, location.config.data.dataset):
            return location
    which = f" for {dataset}" if dataset else ""
    raise VmaError(f"no trained run{which} in {runs_dir}: train one (vma train --dataset {dataset or 'glyphs'})")


def _named_run(name: str | Path, runs_dir: Path) -> Location:
    for path in (Path(name), runs_dir / name):
        if (path / "config.toml").is_file():
            run = RunDirectory.open(path)
            # Only shipped weights have configuration and state in one folder.
            shipped = (path / STATE).is_file()
            return _of_folder(path, run.config, path.name, "shipped") if shipped else _of_run(run)
        if (path / STATE).is_file() and (path.parent.parent / "config.toml").is_file():
            run = RunDirectory.open(path.parent.parent)
            return _of_folder(path, run.config, f"{run.path.name}/{path.name}", "checkpoint")
    folder = shipped_weights().get(str(name))
    if folder is not None:
        return _of_folder(folder, RunDirectory.open(folder).config, folder.name, "shipped")
    for path in (Path(name), runs_dir / name):
        if path.exists():
            raise VmaError(f"{path} is not a run: it has no readable config.toml")
    known = [run.path.name for run in list_runs(runs_dir)] + list(shipped_weights())
    raise VmaError(f"there is no run {str(name)!r}" + (f"; known: {', '.join(known)}" if known else f" in {runs_dir}"))


def _of_run(run: RunDirectory) -> Location:
    step = run.pointed("best")
    step = run.newest() if step is None else step
    if step is None:
        raise VmaError(f"{run.path} has no whole checkpoint yet: resume it (vma train --resume {run.path.name})")
    return _of_folder(run.checkpoint(step), run.config, run.path.name, "run")


def _of_folder(path: Path, config: Config, name: str, kind: str) -> Location:
    return Location(path, name, read_state(path)["step"], config, kind)


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


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file.

    Raises:
        VmaError: absent or damaged.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise VmaError(f"{file} is missing or damaged: use another checkpoint, or train again") from error


def load_weights(module: nn.Module, file: Path) -> None:
    """Load weights, in whatever precision they are stored, into a module of the same shape.

    Raises:
        VmaError: naming the first tensor that is missing, unknown or of another shape, with both shapes.
    """
    stored, expected = read_tensors(file), module.state_dict()
    for name in sorted(expected.keys() | stored.keys()):
        if name not in stored or name not in expected:
            raise VmaError(f"{file}: {name} is {'missing' if name in expected else 'not part of this model'}")
        if stored[name].shape != expected[name].shape:
            have, want = list(stored[name].shape), list(expected[name].shape)
            raise VmaError(f"{file}: {name} has shape {have}, but this model needs {want}")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(stored[name])


def _last_saved(run: RunDirectory) -> float:
    latest = run.path / "latest"
    return (latest if latest.exists() else run.path / "config.toml").stat().st_mtime


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Replace a small file atomically."""
    temporary = _temporary(path)
    _write(temporary, content)
    temporary.replace(path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make renames inside a folder durable, where the system can open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
