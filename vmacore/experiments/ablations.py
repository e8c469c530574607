"""What the paper tried and found no better, or no worse (sections 2, 4.2, 5), at equal steps."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.plans import Plan
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import Found, System

STEPS = 20_000
SAMPLES, EPISODES, SHOTS, TARGETS, CLASSES, SEED = 4, 200, 4, 4, 8, 0


def _system(key: str, label: str, style: int, *overrides: str) -> System:
    return System(key, label, Plan("omniglot", f"ablation-{key}", overrides, steps=STEPS), style)


BASE = _system("paper", "the paper's", 0)
SYSTEMS = (
    BASE,
    _system("inner", "inner product", 1, "model.similarity=inner"),
    _system("cosine", "cosine", 2, "model.similarity=cosine"),
    _system("flat", "flat p(a)", 3, "model.address_prior=flat"),
    _system("tied", "h and h_q tied", 5, "model.tied=true"),
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
    found = systems.trained(lab, SYSTEMS)
    config = BASE.plan.config()
    dataset = lab.dataset(config)
    # What might be chosen by is measured on validation classes: the test alphabets choose nothing.
    validation = dataset.validation.binarised(config.data.seed)
    sampler = EpisodeSampler(validation, n_way=CLASSES, n_shot=SHOTS, n_target=TARGETS, seed=SEED, device=lab.device)
    measured = systems.scores(lab, found, sampler, samples=SAMPLES, episodes=EPISODES, seed=SEED)
    entropies = {
        system.key: [(row["step"], row["posterior_entropy"]) for row in found[system.key][0].metrics("train")]
        for system in SYSTEMS
    }
    rows = [_row(found, measured, system) for system in SYSTEMS]
    for system in SYSTEMS[1:]:
        if {system.key, BASE.key} <= measured.keys():
            group = "difference to the paper's choice"
            row = systems.difference_row(found, measured, system, BASE, sampler, validation, group=group)
            rows.append(Row(**{**vars(row), "paper": PAPER[system.key]}))
    rows += [row for system in SYSTEMS for row in _entropy_rows(found, entropies, system)]
    episodes = next(iter(measured.values())).episodes if measured else 0
    notes = [
        systems.describe(dataset, "validation split", "averaged weights", f"K = {SAMPLES}", f"seed {SEED}"),
        f"{CLASSES} × {SHOTS} in memory, {episodes} episodes of {CLASSES * TARGETS} targets, the same for all",
        f"32 classes a minibatch: one target of each and {SHOTS} slots, so 128 slots and 32 targets a step",
        "entropy: the paper has it high early in training, falling by itself",
        *systems.seeds_note(found),
    ]
    written = figures.save(_figure(entropies), lab.out / "ablations") if any(entropies.values()) else []
    return Result(rows, notes, written, {"posterior_entropy": entropies})


def _row(found: Found, measured: Mapping[str, Score], system: System) -> Row:
    one = measured.get(system.key)
    values = (one.nll, one.nll_se) if one else (None, None)
    note = f"KL_a {one.kl_address:.2f}, KL_z {one.kl_latent:.2f}" if one else ""
    return Row.of(found[system.key], system.label, *values, group=f"NLL, K = {SAMPLES}", note=note)


def _entropy_rows(found: Found, entropies: Mapping[str, list[tuple[int, float]]], system: System) -> list[Row]:
    """Entropy of q(a|x) in the first report of the training and in the last, means over the updates before each."""
    curve = entropies[system.key]
    if not curve:
        return []
    return [
        Row.of(found[system.key], system.label, entropy, group=f"entropy of q(a|x) in training, {when} ({step})")
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
