"""Omniglot 28×28 with a learned memory and no labels: a large model that overfits, and a small one (section 4.2).

On Burda's Omniglot where it has been downloaded; else on the 28×28 set of the matching network, whose numbers are not
to be set beside the paper's, and are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.episodes.none import MinibatchSampler
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.experiments.lab.systems import System

PUBLISHED, STANDING_IN = "omniglot-burda", "omniglot-gmn"
STEPS = 5000
FULL_CHANNELS = "model.channels=[48,48,48,64,64,64]"
UNREGULARISED = "optimiser.weight_decay=0.0"
# System, its overrides on the recipe omniglot-burda, which is the small model.
KINDS = {
    "small": ("256 slots, 32 maps, L2", ()),
    "small-vae": ("VAE, 32 maps, L2", ("model.system=vae",)),
    "large": ("2048 slots", (FULL_CHANNELS, UNREGULARISED, "model.learned_slots=2048")),
    "large-vae": ("VAE", (FULL_CHANNELS, UNREGULARISED, "model.system=vae")),
}
SLOTS = {"small": 256, "large": 2048}
PAPER: dict[tuple[str, str], float | str] = {
    ("small", "test, K = 5000"): 103.6,
    ("large", "training"): "below 80",
    ("large", "test"): "above 150",
}
SAMPLES, MANY = 4, 5000
TARGETS, BATCHES, MANY_BATCHES = 32, 60, 4
NOT_PUBLISHED = (
    "NOT the paper's data: {} stands in for Burda's Omniglot, which needs chardata.mat "
    f"(vma download {PUBLISHED}). Its test drawings are of other characters than those trained on, which Burda's "
    "are not; the paper's numbers are left out"
)

Measured = dict[str, Mapping[str, Score]]  # by split


def run(lab: Lab) -> Result:
    """Train the four, then score them on training and test drawings."""
    name = available(lab)
    kinds = [
        System(key, label, _plan(name, key, overrides), style)
        for style, (key, (label, overrides)) in enumerate(KINDS.items())
    ]
    study = Study(lab, *kinds)
    measured: Measured = {}
    for split, samples, batches, share in (
        ("training", SAMPLES, BATCHES, 0.2),
        ("test", SAMPLES, BATCHES, 0.3),
        (f"test, K = {MANY}", MANY, MANY_BATCHES, 1.0),
    ):
        characters = study.characters("train" if split == "training" else "test")
        sampler = MinibatchSampler(characters, n_target=TARGETS, seed=SEED, device=lab.device)
        measured[split] = study.scores(sampler, samples=samples, episodes=batches, share=share)
    rows = [row for system in kinds for row in _rows(study, measured, system, PAPER if name == PUBLISHED else {})]
    counts = {split: next(iter(scores.values())).targets for split, scores in measured.items() if scores}
    notes = study.notes(
        ("averaged weights", f"K = {SAMPLES} unless said"),
        "targets: " + (", ".join(f"{split} {count:,}" for split, count in counts.items()) or "none"),
        "learned slots are images and are spared by L2; the VAE has the same networks without them",
    )
    if name != PUBLISHED:
        notes.insert(0, NOT_PUBLISHED.format(STANDING_IN))
    shown = measured["test"] and measured["training"]
    return Result(rows, notes, figures.save(_figure(kinds, measured), lab.out / "burda") if shown else [])


def available(lab: Lab) -> str:
    """The data set there is, the paper's before the other.

    Raises:
        VmaError: neither is there.
    """
    missing = []
    for name in (PUBLISHED, STANDING_IN):
        try:
            lab.dataset(name)
        except VmaError as error:
            missing.append(str(error))
        else:
            if missing:
                lab.say(f"{missing[0]}; {name} stands in for it")
            return name
    raise VmaError(f"{missing[0]}; or, to stand in for it, `vma download {STANDING_IN}`")


def _plan(name: str, key: str, overrides: tuple[str, ...]) -> Plan:
    data = (f"data.dataset={name}", "data.protocol=none") if name != PUBLISHED else ()
    return Plan(PUBLISHED, f"{name}-{key}", (*data, *overrides), steps=STEPS, last=True)


def _rows(study: Study, measured: Measured, system: System, paper: Mapping[tuple[str, str], float | str]) -> list[Row]:
    trained, group = study.found[system.key], system.label
    if any(one.model is None for one in trained):
        return [study.row(system, f"NLL, test, K = {MANY}", group=group)]
    rows = [
        study.row(system, f"NLL, {split}", scores.get(system.key), group=group, paper=paper.get((system.key, split)))
        for split, scores in measured.items()
    ]
    slots, test = SLOTS.get(system.key), measured["test"].get(system.key)
    if test and slots:
        near = f"near log {slots} = {math.log(slots):.2f}" if system.key == "large" and paper else None
        rows.append(Row.of(trained, "KL_a, test", test.kl_address, group=group, paper=near))
    if test:
        below = "below the VAE's" if slots and paper else None
        rows.append(Row.of(trained, "KL_z, test", test.kl_latent, group=group, paper=below))
    return rows


def _figure(kinds: list[System], measured: Measured) -> Figure:
    """Training and test NLL of each, side by side."""
    figure, axes = figures.new(height=3.6)
    shown = [system for system in kinds if system.key in measured["test"]]
    series = [
        figures.Bars(split, [measured[split][system.key].nll for system in shown], colour, hatch)
        for split, colour, hatch in (("training", figures.COLOURS[5], ""), ("test", figures.COLOURS[6], "//"))
    ]
    figures.grouped(axes, series, [system.label for system in shown], step=0.36, decimals=1)
    axes.set_ylabel(f"NLL, K = {SAMPLES}, in nats")
    figures.legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)
    return figure
