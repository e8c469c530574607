"""Learning curves of a run, from its metrics.jsonl: the bound, and the parts that it is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmacore.errors import VmaError
from vmacore.reports.charts import Chart, Line
from vmacore.runs import metrics
from vmacore.runs.metrics import FILE

Row = Mapping[str, Any]
TRAINING, VALIDATION, ADDRESS, LATENT = 0, 1, 2, 3  # colours
EARLY = 0.03  # of the steps, whose values the vertical axis need not hold
SHOWN = 12  # validations in the table, the best among them


@dataclass(frozen=True)
class Validation:
    """A validation as the table shows it, in nats; accuracy: a part of 1, None where it was not asked for."""

    step: int
    nll: float | None
    nll_se: float | None
    kl_address: float | None
    kl_latent: float | None
    accuracy: float | None
    is_best: bool


@dataclass(frozen=True)
class Curves:
    """Charts over the steps of a run, and some of its validations, the best of all among them; left_out: the others."""

    charts: Sequence[Chart]
    validations: Sequence[Validation]
    left_out: int


def curves(run: Path, trains: str = "all") -> Curves:
    """The curves of a run. trains: its `objective.trains`; of addresses alone there are no nats of pixels.

    Raises:
        VmaError: metrics.jsonl is absent or cannot be read, or holds no report.
    """
    every = metrics.rows(run)
    training = [row for row in every if row["kind"] == "train"]
    by_step = {row["step"]: row for row in every if row["kind"] == "validation"}  # of a step done again, the last
    validation = [by_step[step] for step in sorted(by_step)]
    if not training and not validation:
        raise VmaError(f"{run / FILE} holds no report: train the run, or name the run directory that was trained")
    best = min(validation, key=lambda row: _number(row, "nll", math.inf), default=None)
    charts = [_bound(training, validation, best, trains)]
    if trains != "addresses":
        charts += [_parts(training, validation), _entropies(training)]
    if any(row.get("accuracy") is not None for row in validation):
        charts.append(_accuracy(validation))
    shown = [_validation(row, row is best) for row in _some(validation, best)]
    return Curves([chart for chart in charts if chart.lines], shown, len(validation) - len(shown))


def _bound(training: Sequence[Row], validation: Sequence[Row], best: Row | None, trains: str) -> Chart:
    mark = None if best is None else (float(best["step"]), _number(best, "nll", math.nan))
    errors = [_number(row, "nll_se", 0.0) for row in validation]
    lines = [
        Line("training classes", _points(training, "nll"), TRAINING),
        Line("validation classes ± s.e.; ring: the best", _points(validation, "nll"), VALIDATION, errors, mark=mark),
    ]
    what = "NLL of the class" if trains == "addresses" else "NLL"
    return Chart(what, "steps", "nats", _there(lines), top=_top(lines))


def _parts(training: Sequence[Row], validation: Sequence[Row]) -> Chart:
    lines = [
        Line("KL_z, the latent, in training", _points(training, "kl_latent"), LATENT),
        Line("KL_z on validation", _points(validation, "kl_latent"), LATENT, dots=True, dashed=True),
        Line("KL_a, the address, in training", _points(training, "kl_address"), ADDRESS),
        Line("KL_a on validation", _points(validation, "kl_address"), ADDRESS, dots=True, dashed=True),
    ]
    return Chart("What slot and latent cost", "steps", "nats", _there(lines), top=_top(lines))


def _entropies(training: Sequence[Row]) -> Chart:
    lines = [
        Line("entropy of p(a)", _points(training, "prior_entropy"), TRAINING),
        Line("entropy of q(a|x)", _points(training, "posterior_entropy"), ADDRESS),
    ]
    return Chart("How far addresses spread, in training", "steps", "nats", _there(lines))


def _accuracy(validation: Sequence[Row]) -> Chart:
    points = [(x, 100 * y) for x, y in _points(validation, "accuracy")]
    return Chart("5-way 1-shot accuracy", "steps", "%", [Line("validation classes", points, VALIDATION, dots=True)])


def _points(rows: Sequence[Row], key: str) -> list[tuple[float, float]]:
    return [(float(row["step"]), _number(row, key, math.nan)) for row in rows]


def _number(row: Row, key: str, otherwise: float) -> float:
    value = row.get(key)
    return otherwise if value is None else float(value)


def _there(lines: Sequence[Line]) -> list[Line]:
    """Without those that are not told, or 0 throughout, as KL_a of a model that draws no address."""
    return [line for line in lines if any(math.isfinite(y) and y != 0 for _, y in line.points)]


def _top(lines: Sequence[Line]) -> float | None:
    """The highest value past the first steps, in which all curves fall from far above."""
    points = [(x, y) for line in lines for x, y in line.points if math.isfinite(y)]
    last = max((x for x, _ in points), default=0.0)
    later = [y for x, y in points if x >= EARLY * last]
    return max(later, default=None)


def _some(validation: Sequence[Row], best: Row | None) -> list[Row]:
    """At most SHOWN, evenly spread, with the first, the last and the best."""
    if len(validation) <= SHOWN:
        return list(validation)
    gap = (len(validation) - 1) / (SHOWN - 2)
    places = {round(place * gap) for place in range(SHOWN - 1)}
    return [row for place, row in enumerate(validation) if place in places or row is best]


def _validation(row: Row, is_best: bool) -> Validation:
    """As a row says it; its own `is_best` means the best until then."""
    numbers = {name: row.get(name) for name in ("nll", "nll_se", "kl_address", "kl_latent", "accuracy")}
    return Validation(step=row["step"], **numbers, is_best=is_best)
