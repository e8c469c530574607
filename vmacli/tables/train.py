"""What `vma train` says on the way and at the end. `part` is what is trained (`objective.trains`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmacli.output import duration, figures, nats

if TYPE_CHECKING:
    import torch

    from vmacore.config import Config
    from vmacore.data.characters import Dataset
    from vmacore.runs.summaries import RunSummary
    from vmacore.training.loop import StepReport, TrainingSummary, ValidationReport


def document(summary: TrainingSummary, data: Dataset, config: Config) -> dict[str, Any]:
    """What a script reads when a training ends."""
    return {
        "command": "train",
        "dataset": data.name,
        "protocol": data.protocol,
        "preparation": data.preparation,
        "binarisation": data.binarisation,
        "refit": False,  # scripts may read it
        "split": "train",
        "run": str(summary.run),
        "step": summary.step,
        "steps_per_second": summary.steps_per_second,
        "nll": summary.nll,
        "kl_address": summary.kl_address,
        "kl_latent": summary.kl_latent,
        "part": config.objective.trains,
        "samples": config.objective.samples,
        "weights": "raw",
        "seed": config.training.seed,
        "interrupted": summary.interrupted,
    }


def on_what(data: Dataset, run: Path, done: int, total: int, where: torch.device) -> str:
    """What is trained on, and how far."""
    from vmacore.distributed import world_size

    together = f"{world_size()} processes, " if world_size() > 1 else ""
    return (
        f"training on {data.name} {data.protocol}; {data.preparation}; {data.binarisation}; run {run}, "
        f"{f'from step {done} ' if done else ''}to step {total}, {together}on {where}"
    )


def faster_by(config: Config, where: torch.device) -> str:
    """Which setting makes training faster here; nothing if none does."""
    from vmacore.training.graphs import bfloat16_units

    layers = config.model.network != "fully-connected" and config.training.precision != "bfloat16"
    if layers and bfloat16_units(where):
        return "faster on this processor, which has units for it: --set training.precision=bfloat16"
    return ""


def step_line(report: StepReport, part: str) -> str:
    """The end of the progress line."""
    if part == "addresses":
        return f"{_nll(part)} {nats(report.nll)}  KL_a {nats(report.kl_address)}"
    return f"{_nll(part)} {nats(report.nll, 1)}  KL_a {nats(report.kl_address)}  KL_z {nats(report.kl_latent, 1)}"


def validation_line(report: ValidationReport, part: str) -> str:
    """A note for each validation."""
    kl_z = "" if part == "addresses" else f", KL_z {nats(report.kl_latent)}"
    kl_z += f" (none at {', '.join(report.idle)})" if report.idle else ""
    return (
        f"step {report.step}: validation {_nll(part)} {nats(report.nll)}, KL_a {nats(report.kl_address)}"
        f"{kl_z}{_accuracy(report.accuracy)}{', the best' if report.is_best else ''}"
    )


def _accuracy(accuracy: float | None) -> str:
    return "" if accuracy is None else f", 5-way 1-shot accuracy {accuracy:.1%}"


def _nll(part: str) -> str:
    """Where addresses alone are trained no image has a likelihood: it is of the class."""
    return "NLL of the class" if part == "addresses" else "NLL"


def ending(run: RunSummary, data: Dataset, taken: tuple[int, float], summary: TrainingSummary) -> list[str]:
    """What was trained, how far and how well, and where it lies. taken: steps and seconds since the command began."""
    recipe = f", recipe {run.recipe}" if run.recipe else ""
    steps, seconds = taken
    now = "" if steps == summary.step else f", the last {steps} now"
    time = f" in {duration(seconds)}, {figures(summary.steps_per_second)} steps/s" if steps else ""
    best = "none: nothing was validated"
    if run.best_step is not None and run.best_validation_nll is not None:
        best = f"step {run.best_step}, validation {_nll(run.trains)} {nats(run.best_validation_nll)}"
        best += _accuracy(run.best_validation_accuracy)
    return [
        f"trained  {run.system} on {Path(data.name).name} {data.protocol}{recipe}",
        f"steps    {summary.step} of {run.steps}{now}{time}",
        f"best     {best}",
        f"in       {summary.run}",
    ]


def following(commands: Sequence[str]) -> list[str]:
    """The commands that may come next, one a line."""
    return [f"{'' if number else 'next':<9}{command}" for number, command in enumerate(commands)]
