"""Samples of the MNIST model with a learned memory: those of a row share their slot (figure 2B)."""

from __future__ import annotations

from typing import Any

import torch

from vmacore.addressing import Addressing
from vmacore.evaluation.sampling import sample_grid
from vmacore.experiments import mnist_learned
from vmacore.experiments.fig4a import across, grid_figure, within
from vmacore.experiments.lab import figures
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import describe
from vmacore.models.vma import VariationalMemoryAddressing

SLOTS, ROWS, COLUMNS, SEED = 256, 8, 12, 0


def run(lab: Lab) -> Result:
    """Draw rows of slots from p(a), and samples of each."""
    plan = mnist_learned.plan(SLOTS)
    (trained,) = lab.trained(plan)
    dataset = lab.dataset(plan.config())
    rows, written = [Row.of(trained, "samples")], []
    model = trained.model
    if model is not None:
        assert isinstance(model, VariationalMemoryAddressing)
        # By p(a): slots that it never draws were never trained to mean anything.
        how: dict[str, Any] = {"rows": ROWS, "columns": COLUMNS, "seed": SEED, "device": lab.device, "address": "prior"}
        shown = sample_grid(model, None, **how)
        written = figures.save(grid_figure(shown, "slot"), lab.out / "fig2b")
        drawn = sample_grid(model, None, pixels="sample", **how)
        rows = [
            Row.of(trained, "pixels in which two samples of a slot differ", within(drawn), unit="%"),
            Row.of(trained, "pixels in which samples of two slots differ", across(drawn), unit="%"),
            Row.of(trained, f"entropy of p(a), of log {SLOTS} = {torch.tensor(SLOTS).log():.2f}", _entropy(model)),
        ]
    notes = [
        describe(dataset, "averaged weights", f"{SLOTS} learned slots", f"seed {SEED}"),
        f"rows are slots drawn from p(a): those of a row share m_a; {trained.source}",
    ]
    return Result(rows, notes, written)


@torch.no_grad()
def _entropy(model: VariationalMemoryAddressing) -> float:
    assert model.learned_memory is not None
    log_p = model.read(model.learned_memory()).log_prior
    return float(Addressing(log_p[None], log_p).prior_entropy())
