"""The plain VAE and soft attention beside hard addressing (section 4.2; figure 1's claim about the cost of a slot)."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import curves, figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.experiments.lab.systems import System

SYSTEMS = (systems.VMA, systems.VMA_APART, systems.VAE, systems.SOFT, systems.SOFT_K1, systems.SOFT_2X16)
PAPER: dict[str, float | str] = {"vae": 90.8, "vma": "69.1 to 75.1"}
PAPER_SOFT = 73.4  # at its best: a memory of 16 drawings of one or two classes
PAPER_SAMPLES = 4
TARGETS = 4
# Memory (classes, drawings), K, episodes, share of the time left.
MEASURED = (((8, 4), 4, 400, 0.3), ((8, 4), 1000, 30, 0.8), ((2, 16), 4, 400, 0.5), ((1, 16), 4, 400, 1.0))


def run(lab: Lab) -> Result:
    """Train all and score them on the same episodes."""
    study = Study(lab, *SYSTEMS)
    test, (base, *others) = study.characters(), SYSTEMS
    rows: list[Row] = []
    differences: list[Row] = []
    shown: dict[str, Mapping[str, Score]] = {}  # by memory and K
    for memory, samples, episodes, share in MEASURED:
        classes, shots = memory
        sampler = EpisodeSampler(test, n_way=classes, n_shot=shots, n_target=TARGETS, seed=SEED, device=lab.device)
        measured = study.scores(sampler, samples=samples, episodes=episodes, share=share)
        where = f"{classes} × {shots} in memory, K = {samples}"
        rows += [
            study.row(
                system,
                system.label,
                measured.get(system.key),
                group=f"NLL, {where}",
                paper=_paper(system, memory) if samples == PAPER_SAMPLES else None,
            )
            for system in SYSTEMS
        ]
        differences += [
            study.difference(measured, system, base, sampler=sampler, characters=test, group=f"difference, {where}")
            for system in others
            if {system.key, base.key} <= measured.keys()
        ]
        if measured:
            shown[where] = measured
    written, costs = [], []
    for where, drawn in list(shown.items())[:1]:
        costs = [_cost_row(study, drawn, system, where) for system in SYSTEMS if system.key in drawn]
        written = figures.save(_figure(study, drawn), lab.out / "baselines")
    written += curves.write(lab)
    notes = study.notes(
        ("test split", "averaged weights", f"{TARGETS} targets a class"),
        *(
            f"{where}: {next(iter(measured.values())).episodes} episodes, the same for all systems"
            for where, measured in shown.items()
        ),
    )
    kept = {where: {key: _kept(score) for key, score in measured.items()} for where, measured in shown.items()}
    return Result(rows + differences + costs, notes, written, kept)


def _paper(system: System, memory: tuple[int, int]) -> float | str | None:
    if memory == (8, 4) or system is systems.VAE:
        return PAPER.get(system.key)
    return PAPER_SOFT if system is systems.SOFT_2X16 else None


def _cost_row(study: Study, measured: Mapping[str, Score], system: System, where: str) -> Row:
    """What finding a slot and a latent costs together, in nats."""
    score = measured[system.key]
    return Row.of(
        study.found[system.key],
        f"{system.label}, KL_a + KL_z",
        score.kl_address + score.kl_latent,
        group=f"cost of finding slot and latent, {where}",
        note=f"KL_a {score.kl_address:.2f} + KL_z {score.kl_latent:.2f}, reconstruction {score.reconstruction:.2f}",
    )


def _kept(score: Score) -> dict[str, object]:
    names = ("nll", "nll_se", "elbo", "per_episode", "reconstruction", "kl_address", "kl_latent")
    return {name: getattr(score, name) for name in names}


def _figure(study: Study, measured: Mapping[str, Score]) -> Figure:
    """Where the nats go: −ELBO of each system as the sum of its parts, and the bound beside it."""
    shown = {system: measured[system.key] for system in SYSTEMS if system.key in measured}
    figure, axes = figures.new(height=0.75 * len(shown) + 1.3)
    scores = list(shown.values())
    longest = figures.stacked_across(
        axes,
        (
            figures.Bars("reconstruction", [score.reconstruction for score in scores], "0.88"),
            figures.Bars("KL$_z$, the latent", [score.kl_latent for score in scores], figures.COLOURS[5], "//"),
            figures.Bars("KL$_a$, the address", [score.kl_address for score in scores], figures.COLOURS[6]),
        ),
    )
    bounds = [score.nll for score in scores]
    below = [place + 0.36 for place in range(len(shown))]
    axes.plot(bounds, below, "^", color="black", markersize=7, label="NLL, K-sample bound")
    for bound, height in zip(bounds, below, strict=True):
        axes.text(bound + 1.2, height + 0.08, f"{bound:.1f}", va="center", fontsize=8)
    steps = [min(one.step for one in study.found[system.key]) for system in shown]
    axes.set_yticks(range(len(shown)), [f"{one.label}\nstep {step:,}" for one, step in zip(shown, steps, strict=True)])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("nats per image")
    axes.set_xlim(0, 1.08 * longest)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure
