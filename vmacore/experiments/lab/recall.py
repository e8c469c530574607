"""Recall of a slot in training: when it is found and when nothing is left to learn, and the rows about that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab.plans import Trained
from vmacore.experiments.lab.result import Row

# Converged: the three within these of the optimum, in the same validation of the averaged weights.
WITHIN = {"kl_address": 0.1, "kl_latent": 0.1, "nll": 0.5}
CONVERGED = (
    "converged: in the same validation (training's |M|, validation images, 640 targets; most runs look every 500 "
    f"updates) KL_a within {WITHIN['kl_address']:g} of log |M|, KL_z below {WITHIN['kl_latent']:g}, NLL within "
    f"{WITHIN['nll']:g} of log |M|"
)


def converged(validation: Sequence[Mapping[str, Any]], slots: int) -> int | None:
    """The first step whose validation is within WITHIN of the optimum for |M| = slots; None if there is none."""
    best = {"kl_address": math.log(slots), "kl_latent": 0.0, "nll": math.log(slots)}
    steps = (row["step"] for row in validation if all(abs(row[key] - best[key]) <= WITHIN[key] for key in WITHIN))
    return next(steps, None)


def found_slot(validation: Sequence[Mapping[str, Any]], slots: int) -> int | None:
    """The first step whose KL_a alone is within WITHIN of log |M|, whatever the pixels still cost."""
    steps = (row["step"] for row in validation if abs(row["kl_address"] - math.log(slots)) <= WITHIN["kl_address"])
    return next(steps, None)


def taken_over(validation: Sequence[Mapping[str, Any]], slots: int) -> int | None:
    """The first step whose validation has more nats in the address than in z, and over half of log |M|."""
    half = math.log(slots) / 2
    steps = (row["step"] for row in validation if row["kl_address"] > max(half, row["kl_latent"]))
    return next(steps, None)


def parts(score: Score) -> dict[str, float]:
    """What is kept of a score."""
    names = ("nll", "nll_se", "reconstruction", "kl_address", "kl_latent", "targets")
    return {name: getattr(score, name) for name in names}


def size_row(label: str, slots: int, trained: Trained, claim: str) -> Row:
    """How long it takes with that |M|, and how much of that for finding the slot."""
    validation = trained.metrics()
    step, addressed = converged(validation, slots), found_slot(validation, slots)
    notes = []
    if trained.model is not None:
        notes = [f"KL_a near log |M| after {addressed:,}" if addressed else "KL_a never near log |M|"]
        notes += [] if step else [f"not converged in {trained.step:,} updates: {_last(trained)}"]
    return Row.of(
        trained,
        f"|M| = {slots}",
        step,
        paper=claim,
        unit="updates",
        group=f"updates until converged, by |M| in training, {label}",
        note="; ".join(notes),
    )


def seeds_row(label: str, slots: int, several: Sequence[Trained], steps: int) -> Row:
    """How many training seeds converge with that |M|, of trainings of so many steps."""
    there = [one for one in several if one.model is not None]
    reached = [step for one in there if (step := converged(one.metrics(), slots)) is not None]
    notes = [f"{len(there)} of {len(several)} seeds trained"] if there else []
    notes += [f"converged after {', '.join(f'{step:,}' for step in reached)} updates"] if reached else []
    notes += [f"at last {'; '.join(_last(one) for one in there)}"] if there else []
    return Row.of(
        several,
        label,
        float(len(reached)) if there else None,
        paper="sometimes fails above 512",
        unit="seeds",
        group=f"training seeds that converge with |M| = {slots} in {steps:,} updates",
        note="; ".join(notes),
    )


def skip_row(label: str, slots: int, trained: Trained, steps: int) -> Row:
    """What the memory carries after so many steps, by how a slot enters at the pixels."""
    at = [row for row in trained.metrics() if row["step"] <= steps]
    last = at[-1] if at else {}
    step = taken_over(trained.metrics(), slots)
    took = f"the address takes over after {step:,} updates" if step else "the address has not taken over"
    group = f"KL_a after {last.get('step', steps):,} updates, by how a slot enters at the pixels"
    note = f"NLL {last['nll']:.1f}, KL_z {last['kl_latent']:.2f}; {took}" if last else ""
    return Row.of(trained, label, last.get("kl_address"), group=group, paper="–", note=note)


def _last(trained: Trained) -> str:
    rows = trained.metrics()
    last = rows[-1] if rows else None
    return f"NLL {last['nll']:.2f}, KL_a {last['kl_address']:.2f}, KL_z {last['kl_latent']:.2f}" if last else "no look"
