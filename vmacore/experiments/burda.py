"""Omniglot 28×28 with a learned memory and no labels: a large model that overfits, and a small one (section 4.2).

On Burda's Omniglot where it has been downloaded; else on the 28×28 set of the matching network, whose numbers are not
to be set beside the paper's, and are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.data.characters import Characters, Dataset
from vmacore.episodes.none import MinibatchSampler
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import Score
from vmacore.experiments import figures, systems
from vmacore.experiments.lab import Lab
from vmacore.experiments.plans import Plan
from vmacore.experiments.result import Result, Row
from vmacore.experiments.systems import Found, System

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
TARGETS, BATCHES, MANY_BATCHES, SEED = 32, 60, 4, 0


def run(lab: Lab) -> Result:
    """Train the four, then score them on training and test drawings."""
    name = available(lab)
    kinds = [
        System(key, label, _plan(name, key, overrides), style)
        for style, (key, (label, overrides)) in enumerate(KINDS.items())
    ]
    found = systems.trained(lab, kinds)
    config = kinds[0].plan.config()
    dataset = lab.dataset(config)
    rows: list[Row] = []
    measured: dict[str, Mapping[str, Score]] = {}
    for split, samples, batches, share in (
        ("training", SAMPLES, BATCHES, 0.2),
        ("test", SAMPLES, BATCHES, 0.3),
        (f"test, K = {MANY}", MANY, MANY_BATCHES, 1.0),
    ):
        characters = _characters(dataset, split, config.data.seed)
        sampler = MinibatchSampler(characters, n_target=TARGETS, seed=SEED, device=lab.device)
        measured[split] = systems.scores(lab, found, sampler, samples=samples, episodes=batches, seed=SEED, share=share)
    for system in kinds:
        rows += _rows(found, measured, system, name == PUBLISHED)
    label = "" if name == PUBLISHED else (
        f"NOT the paper's data: {STANDING_IN} stands in for Burda's Omniglot, which needs chardata.mat "
        f"(vma download {PUBLISHED}). Its test drawings are of other characters than those trained on, which Burda's "
        "are not; the paper's numbers are left out"
    )  # fmt: skip
    counts = {split: next(iter(scores.values())).targets for split, scores in measured.items() if scores}
    notes = [
        *([label] if label else []),
        systems.describe(dataset, "averaged weights", f"K = {SAMPLES} unless said", f"seed {SEED}"),
        "targets: " + (", ".join(f"{split} {count:,}" for split, count in counts.items()) or "none"),
        "learned slots are images and are spared by L2; the VAE has the same networks without them",
        *systems.seeds_note(found),
    ]
    shown = measured["test"] and measured["training"]
    written = figures.save(_figure(kinds, measured), lab.out / "burda") if shown else []
    return Result(rows, notes, written)


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


def _characters(dataset: Dataset, split: str, seed: int) -> Characters:
    return (dataset.train if split == "training" else dataset.test).binarised(seed)


def _rows(found: Found, measured: Mapping[str, Mapping[str, Score]], system: System, published: bool) -> list[Row]:
    trained = found[system.key]
    if any(one.model is None for one in trained):
        return [Row.of(trained, f"NLL, test, K = {MANY}", group=system.label)]
    rows = []
    for split, scores in measured.items():
        one = scores.get(system.key)
        values = (one.nll, one.nll_se) if one else (None, None)
        paper = PAPER.get((system.key, split)) if published else None
        rows.append(Row.of(trained, f"NLL, {split}", *values, group=system.label, paper=paper))
    slots = SLOTS.get(system.key)
    test = measured["test"].get(system.key)
    if test:
        if slots:
            claim = f"near log {slots} = {math.log(slots):.2f}" if system.key == "large" and published else None
            rows.append(Row.of(trained, "KL_a, test", test.kl_address, group=system.label, paper=claim))
        below = "below the VAE's" if slots and published else None
        rows.append(Row.of(trained, "KL_z, test", test.kl_latent, group=system.label, paper=below))
    return rows


def _figure(kinds: list[System], measured: Mapping[str, Mapping[str, Score]]) -> Figure:
    """Training and test NLL of each, side by side."""
    figure, axes = figures.new(height=3.6)
    shown = [system for system in kinds if system.key in measured["test"]]
    series = (("training", figures.COLOURS[5], ""), ("test", figures.COLOURS[6], "//"))
    for position, (split, colour, hatch) in enumerate(series):
        places = [place + 0.36 * (position - 0.5) for place in range(len(shown))]
        values = [measured[split][system.key].nll for system in shown]
        axes.bar(places, values, 0.34, label=split, color=colour, hatch=hatch, edgecolor="0.25", linewidth=0.6)
        for place, value in zip(places, values, strict=True):
            axes.text(place, value + 1, f"{value:.1f}", ha="center", fontsize=8)
    axes.set_xticks(range(len(shown)), [system.label for system in shown])
    axes.set_ylabel(f"NLL, K = {SAMPLES}, in nats")
    axes.grid(False, axis="x")
    figures.legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)
    return figure
