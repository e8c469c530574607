"""One-shot samples: unseen test drawings in memory, new drawings of each beside it (figure 4A)."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure

from vmacore.data.characters import Characters
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.sampling import Grid, sample_grid
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import Study
from vmacore.models.vma import VariationalMemoryAddressing

ROWS, COLUMNS, SEED = 8, 12, 0
MEASURED = 64  # slots for the numbers
GAP = 9  # pixels between slots and samples


def run(lab: Lab) -> Result:
    """Draw, and tell whether drawings resemble their slot and vary."""
    study = Study(lab, systems.VMA)
    trained, test = study.first(systems.VMA), study.characters()
    rows = [Row.of(trained, "samples")]
    written = []
    model = trained.model
    if model is not None:
        assert isinstance(model, VariationalMemoryAddressing)
        how: dict[str, Any] = {
            "columns": COLUMNS,
            "seed": SEED,
            "device": lab.device,
            "temperature": 1,
            "candidates": 1,
        }
        shown = sample_grid(model, test, classes=ROWS, **how)
        written = figures.save(grid_figure(shown, "slot"), lab.out / "fig4a")
        slots = min(MEASURED, test.n_classes)
        drawn = sample_grid(model, test, classes=slots, pixels="sample", **how)
        real = real_grid(drawn, test)
        chance = f"{100 / slots:.1f} by chance"
        rows = [
            Row.of(trained, f"samples nearest to their own of {slots} slots, {chance}", nearest_own(drawn), unit="%"),
            Row("test drawings of the slots' classes, the same", nearest_own(real), unit="%"),
            Row.of(trained, "pixels in which two samples of a slot differ", within(drawn), unit="%"),
            Row("two test drawings of a class, the same", within(real), unit="%"),
            Row.of(trained, "pixels in which samples of two slots differ", across(drawn), unit="%"),
            Row("test drawings of two classes, the same", across(real), unit="%"),
        ]
    notes = [
        systems.describe(study.dataset, "test split", "averaged weights", f"seed {SEED}"),
        "the figure shows means of the pixels, the numbers are of pixels drawn; slots are drawings of classes that "
        "were never trained on; trained with 8 × 4",
    ]
    return Result(rows, notes, written)


def real_grid(grid: Grid, characters: Characters) -> Grid:
    """The same slots, beside each of them as many other drawings of its class instead of samples.

    Raises:
        ValueError: a grid that was not made by `sample_grid` with `SEED`.
    """
    R, C, H, W = grid.samples.shape
    episode = EpisodeSampler(characters, n_way=R, n_shot=1, n_target=C, seed=SEED).at(0)
    if not torch.equal(episode.memory[:, 0], grid.slots):
        raise ValueError("the slots of this grid are of another seed")
    return Grid(grid.slots, episode.targets.view(R, C, H, W), grid.addresses)


def nearest_own(grid: Grid) -> float:
    """Percentage of samples whose nearest slot, in pixels, is their own."""
    R, C = grid.samples.shape[:2]
    distances = torch.cdist(grid.samples.flatten(2).flatten(0, 1), grid.slots.flatten(1))  # [R · C, R]
    return 100 * float((distances.argmin(1).view(R, C) == torch.arange(R)[:, None]).float().mean())


def within(grid: Grid) -> float:
    """Percentage of pixels in which two neighbours of a row differ."""
    return 100 * float((grid.samples[:, 1:] != grid.samples[:, :-1]).float().mean())


def across(grid: Grid) -> float:
    """Percentage of pixels in which two neighbours of a column differ."""
    return 100 * float((grid.samples[1:] != grid.samples[:-1]).float().mean())


def grid_figure(grid: Grid, left: str, right: str = "samples x ~ p(x|z, m$_a$), z ~ p(z|m$_a$)") -> Figure:
    """Slots in a left column where they are images, their samples beside them."""
    R, C = grid.samples.shape[:2]
    drawn = figures.sheet(grid.samples)
    pictures = bool(grid.slots.isfinite().all())
    if pictures:
        slots = figures.sheet(grid.slots[:, None])
        drawn = torch.cat([slots, torch.zeros(len(slots), GAP), drawn], 1)
    edge = drawn.shape[1] - figures.sheet(grid.samples[:1]).shape[1]  # where the samples begin
    figure, axes = figures.new(width=0.5 * (C + 1.4 * pictures), height=0.5 * R + 0.3)
    figures.picture(axes, drawn, width=0)
    middle = (edge + drawn.shape[1]) / 2
    for x, words in [(middle, right), *([((edge - GAP) / 2, left)] if pictures else [])]:
        axes.text(x, -4, words, ha="center", va="bottom", fontsize=9)
    return figure
