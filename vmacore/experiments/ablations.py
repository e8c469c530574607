"""What the paper tried and found no better, or no worse (sections 2, 4.2, 5), at equal steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from matplotlib.figure import Figure

from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.experiments.lab.systems import System

STEPS = 20_000
SAMPLES, EPISODES, SHOTS, TARGETS, CLASSES = 4, 200, 4, 4, 8


def _system(key: str, label: str, style: int, *overrides: str, tied: bool = False) -> System:
    settings = (f"model.tied={str(tied).lower()}", *overrides)
    return System(key, label, Plan("omniglot", f"ablation-{key}", settings, steps=STEPS), style)


BASE = _system("paper", "the paper's", 0)
SYSTEMS = (
    BASE,
    _system("inner", "inner product", 1, "model.similarity=inner"),
    _system("cosine", "cosine", 2, "model.similarity=cosine"),
    _system("flat", "flat p(a)", 3, "model.address_prior=flat"),
    _system("tied", "h and h_q tied", 5, tied=True),
    _system("32-classes", "32 classes a minibatch", 6, "episode.classes=32", "episode.targets=1"),
)
PAPER = {
    "inner": "no better",
    "cosine": "no better",
    "flat": "very small loss",
    "tied": "no difference",
    "32-classes": "almost the same",
}


def run(lab: Lab) -> Result:
    """Train each to equal steps and score it on the same validation episodes."""
    study = Study(lab, *SYSTEMS)
    # What might be chosen by is measured on validation classes: the test alphabets choose nothing.
    validation = study.characters("validation")
    sampler = EpisodeSampler(validation, n_way=CLASSES, n_shot=SHOTS, n_target=TARGETS, seed=SEED, device=lab.device)
    measured = study.scores(sampler, samples=SAMPLES, episodes=EPISODES)
    entropies = {
        system.key: [(row["step"], row["posterior_entropy"]) for row in study.first(system).metrics("train")]
        for system in SYSTEMS
    }
    rows = [_row(study, measured.get(system.key), system) for system in SYSTEMS]
    for system in SYSTEMS[1:]:
        if {system.key, BASE.key} <= measured.keys():
            row = study.difference(
                measured, system, BASE, sampler=sampler, characters=validation, group="difference to the paper's choice"
            )
            rows.append(replace(row, paper=PAPER[system.key]))
    rows += [row for system in SYSTEMS for row in _entropy_rows(study, entropies[system.key], system)]
    episodes = next(iter(measured.values())).episodes if measured else 0
    notes = study.notes(
        ("validation split", "averaged weights", f"K = {SAMPLES}"),
        f"{CLASSES} × {SHOTS} in memory, {episodes} episodes of {CLASSES * TARGETS} targets, the same for all",
        f"32 classes a minibatch: one target of each and {SHOTS} slots, so 128 slots and 32 targets a step",
        "entropy: the paper has it high early in training, falling by itself",
        of_the_first="entropies",
    )
    written = figures.save(_figure(entropies), lab.out / "ablations") if any(entropies.values()) else []
    return Result(rows, notes, written, {"posterior_entropy": entropies})


def _row(study: Study, score: Score | None, system: System) -> Row:
    note = f"KL_a {score.kl_address:.2f}, KL_z {score.kl_latent:.2f}" if score else ""
    return study.row(system, system.label, score, group=f"NLL, K = {SAMPLES}", note=note)


def _entropy_rows(study: Study, curve: list[tuple[int, float]], system: System) -> list[Row]:
    """Entropy of q(a|x) in the first report of the training and in the last, means over the updates before each."""
    if not curve:
        return []
    return [
        Row.of(study.found[system.key], system.label, entropy, group=f"entropy of q(a|x) in training, {when} ({step})")
        for when, (step, entropy) in (("first report", curve[0]), ("last", curve[-1]))
    ]


def _figure(entropies: Mapping[str, list[tuple[int, float]]]) -> Figure:
    figure, axes = figures.new()
    for system in SYSTEMS:
        if not entropies[system.key]:
            continue
        steps, values = zip(*_smooth(entropies[system.key]), strict=True)
        axes.plot(steps, values, **figures.STYLES[system.style].line(), markevery=0.12, label=system.label)
    axes.axhline(math.log(CLASSES * SHOTS), **figures.OPTIMUM, label=f"log {CLASSES * SHOTS}: no idea")
    axes.set_xscale("log")
    axes.set(xlabel="updates", ylabel="entropy of q(a|x) on training data, in nats", ylim=(0, None))
    figures.legend(axes)
    return figure


def _smooth(curve: list[tuple[int, float]], share: float = 0.1) -> list[tuple[int, float]]:
    """Running means over the last tenth of the updates so far."""
    smoothed, first, total = [], 0, 0.0
    for last, (step, value) in enumerate(curve):
        total += value
        while curve[first][0] < (1 - share) * step:
            total -= curve[first][1]
            first += 1
        smoothed.append((step, total / (last - first + 1)))
    return smoothed
