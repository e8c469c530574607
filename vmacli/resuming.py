"""Which run `vma train --resume` goes on with, from which step, and what it cannot change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmacore.runs.directory import RunDirectory


def existing(name: str, runs_dir: Path) -> tuple[RunDirectory, int | None]:
    """The run of that name or path, looked for in the order in which other commands look; of a checkpoint its step."""
    from vmacore.errors import VmaError
    from vmacore.runs.directory import STATE, RunDirectory, read_state
    from vmacore.runs.finding import no_such_run

    paths = (Path(name), runs_dir / name)
    for path in paths:
        if (path / STATE).is_file() and (path.parent.parent / "config.toml").is_file():
            run, step = RunDirectory.open(path.parent.parent), read_state(path)["step"]
            if path.name != run.checkpoint(step).name:
                raise VmaError(f"{path} is not where a training left it: start a new run (--init {path})")
            return run, step
    if not any(path.exists() for path in paths):
        raise no_such_run(name, runs_dir)
    found = next((path for path in paths if (path / "config.toml").is_file()), paths[-1])
    if (found / STATE).is_file():
        raise VmaError(f"{found} holds weights alone, of no training to go on with: start a new run (--init {found})")
    return RunDirectory.open(found), None


def refuse_conflicts(run: RunDirectory, asked: dict[str, Any], settings: list[str]) -> None:
    """A resumed run goes on as it began.

    Raises:
        VmaError: an option asks for something else.
    """
    from vmacore.errors import VmaError

    config = run.config
    began = {
        "--dataset": config.data.dataset,
        "--recipe": config.recipe,
        "--protocol": config.data.protocol,
        "--frame": config.data.protocol,
        "--estimator": config.objective.estimator,
        "--name": run.path.name,
        "--init": None,
        "--seed": config.training.seed,
    }
    conflicts = [option for option, value in asked.items() if value is not None and value != began[option]]
    if config.with_overrides(settings) != config:
        conflicts.append("--set")
    if conflicts:
        raise VmaError(
            f"{run.path.name} goes on as it began, so {', '.join(conflicts)} can't change: leave that out, "
            "or start a new run (--init takes weights along)"
        )
