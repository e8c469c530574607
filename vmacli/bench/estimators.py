"""`vma bench estimators`: bias, variance and time of gradient estimators, and a short training with each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vmacli import options
from vmacli.opening import open_run
from vmacli.output import figures, reporting, table
from vmacli.session import Session, uses
from vmacore.shelf import ESTIMATORS

if TYPE_CHECKING:
    from vmacore.bench.estimator_report import EstimatorReport
    from vmacore.bench.estimator_training import Reached
    from vmacore.bench.estimators import Bias, CheckpointQuality


@dataclass(frozen=True)
class Size:
    """How much is done; more is more exact."""

    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Episodes at a checkpoint, and trainings.")] = 2
    steps: Annotated[int, typer.Option("--steps", min=1, help="Updates of the short training.")] = 300
    early: Annotated[int, typer.Option("--early", min=1, help="Updates to the early checkpoint.")] = 100


@uses("data_dir", "runs_dir", "device", "weights", "offline")
def command(
    session: Session,
    wanted: options.Wanted,
    size: Size,
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            "--estimator",
            metavar="NAME",
            help=f"One of {', '.join(ESTIMATORS)}; repeatable, the first is the base.",
            show_default="all",
        ),
    ] = None,
) -> None:
    """Compare gradient estimators at a few-shot run, at a small network early in training, and in a short training.

    On validation classes. On a CPU a step's time is that of the process, which other processes disturb less.
    """
    with reporting(session) as output:
        import torch

        from vmacore.bench.estimator_report import Lengths, compare_estimators

        names = [ESTIMATORS.check(name) for name in dict.fromkeys(estimator or ESTIMATORS)]
        opened = open_run(output, wanted, session)
        config = opened.location.config
        report = compare_estimators(
            opened.model,
            config,
            opened.characters("validation"),
            names,
            lengths=Lengths(**vars(size)),
            device=opened.device,
            progress=output.note,
        )
        document = opened.document("bench", split="validation") | {
            "kind": "estimators",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "early_step": size.early,
            "seeds": size.seeds,
            "samples": {"early": report.small.objective.samples, "trained": config.objective.samples},
            "temperature": report.small.objective.changed(estimator="gumbel").model_dump()["temperature"],
            **{name: asdict(getattr(report, name)) for name in ("early", "trained", "training")},
        }
        early = f"early, a small network after {size.early} steps on glyphs, K = {report.small.objective.samples}"
        trained = f"{opened.location.run}, step {opened.location.step}, K = {config.objective.samples}"
        shown = [
            part
            for title, quality in ((early, report.early), (trained, report.trained))
            for part in (_bias_table(quality, title), _noise_table(quality))
        ]
        output.result(document, [*shown, *_training_tables(report), LEGEND], _bare(report))


LEGEND = (
    "bias: |E g − reference| / |reference| of h, h_q, e_p; noise: variance / |E g|² of a step; × time: that for the "
    "same time, as a multiple of the first estimator's; difference: of NLL at many samples to the first estimator's, "
    "paired by seed, ± its standard error"
)


def _bias_table(quality: CheckpointQuality, title: str) -> Table:
    names = {"own": "own objective", "bound": "K-sample bound", "ELBO": "ELBO"}
    shown = table("bias to", *names.values(), title=f"{title}; entropy of q(a|x) {quality.entropy:.2f} nats")
    for row in quality.estimators:
        shown.add_row(f"{row.estimator} ({row.objective})", *(_biases(row.bias[to].values()) for to in names))
    return shown


def _noise_table(quality: CheckpointQuality) -> Table:
    shown = table("", "ms a step", "noise of h, h_q, e_p", "× time")
    for row in quality.estimators:
        relative = row.noise_at_equal_time(quality.estimators[0])
        cells = [", ".join(figures(value, 2) for value in noise.values()) for noise in (row.noise, relative)]
        shown.add_row(row.estimator, f"{row.seconds * 1e3:.0f}", *cells)
    return shown


def _biases(biases: Iterable[Bias]) -> str:
    """A number for each group; what it is less than, where it cannot be told from 0."""
    return ", ".join(f"{bias.value:.2f}" if bias.value else f"<{max(bias.at_most, 0.01):.2f}" for bias in biases)


def _training_tables(report: EstimatorReport) -> list[Table]:
    tables = []
    for title, rows in (("equal steps", report.training.equal_steps), ("equal time", report.training.equal_time)):
        shown = table("", "steps", "NLL", "many samples", "difference", "KL_a", "5-way, %", title=f"after {title}")
        for row in rows:
            shown.add_row(*_reached(row))
        tables.append(shown)
    return tables


def _reached(row: Reached) -> list[str]:
    error = f" ± {row.difference_se:.2f}" if math.isfinite(row.difference_se) else ""
    difference = f"{row.difference:+.2f}{error}"
    nll = f"{row.nll:.2f}", f"{row.nll_many:.2f}"
    return [row.estimator, str(row.steps), *nll, difference, f"{row.kl_address:.2f}", f"{100 * row.accuracy:.1f}"]


def _bare(report: EstimatorReport) -> str:
    return "\n".join(f"{row.estimator}\t{figures(row.nll_many, 5)}" for row in report.training.equal_steps)
