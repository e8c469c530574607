"""Learning curves from metrics.jsonl."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmacore.errors import VmaError
from vmacore.reports.curves import SHOWN, curves
from vmacore.runs import metrics
from vmacore.runs.directory import RunDirectory

NOTHING = dict.fromkeys(
    ("elbo", "reconstruction", "kl_address", "kl_latent", "prior_entropy", "posterior_entropy"), 0.0
)


def write(run: Path, steps: int = 40) -> None:
    for step in range(1, steps + 1):
        metrics.append(run, "train", {"step": step, "nll": 100 + 1000 / step, **NOTHING, "kl_latent": 3.0})
        if step % 2 == 0:
            nll = 90 + abs(step - 16)
            metrics.append(run, "validation", {"step": step, "nll": nll, "nll_se": 1.0, "accuracy": None})


def test_curves_of_a_run(straight: RunDirectory) -> None:
    found = curves(straight.path)
    rows = metrics.rows(straight.path)
    assert [chart.title for chart in found.charts] == [
        "NLL",
        "What slot and latent cost",
        "How far addresses spread, in training",
        "5-way 1-shot accuracy",
    ]
    nll = [(row["step"], row["nll"]) for row in rows if row["kind"] == "train"]
    assert list(found.charts[0].lines[0].points) == nll
    validated = [row for row in rows if row["kind"] == "validation"]
    assert [(item.step, item.nll, item.kl_address) for item in found.validations] == [
        (row["step"], row["nll"], row["kl_address"]) for row in validated
    ]
    best = min(validated, key=lambda row: row["nll"])
    assert [item.step for item in found.validations if item.is_best] == [best["step"]]
    assert found.charts[0].lines[1].mark == (best["step"], best["nll"])


def test_some_of_many_validations(tmp_path: Path) -> None:
    write(tmp_path)
    found = curves(tmp_path)
    steps = [item.step for item in found.validations]
    assert len(steps) <= SHOWN
    assert {2, 16, 40} <= set(steps)  # the first, the best and the last
    assert steps == sorted(steps)
    assert found.left_out == 20 - len(steps)
    (best,) = [item for item in found.validations if item.is_best]
    assert (best.step, best.nll) == (16, 90)


def test_what_is_0_throughout_has_no_line(tmp_path: Path) -> None:
    write(tmp_path)
    found = curves(tmp_path)
    assert [chart.title for chart in found.charts] == ["NLL", "What slot and latent cost"]
    assert [line.label for line in found.charts[1].lines] == ["KL_z, the latent, in training"]
    assert [chart.title for chart in curves(tmp_path, "addresses").charts] == ["NLL of the class"]


def test_the_first_steps_do_not_decide_the_axis(tmp_path: Path) -> None:
    write(tmp_path, 100)
    top = curves(tmp_path).charts[0].top
    assert top == pytest.approx(100 + 1000 / 3)  # not 1100, from the first step


def test_a_step_that_was_done_again_counts_once(tmp_path: Path) -> None:
    for nll in (5.0, 4.0):
        metrics.append(tmp_path, "validation", {"step": 3, "nll": nll})
    (item,) = curves(tmp_path).validations
    assert (item.nll, item.nll_se, item.is_best) == (4.0, None, True)


def test_a_run_without_reports(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match="holds no report: train the run"):
        curves(tmp_path)
