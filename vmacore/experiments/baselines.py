"""The plain VAE and soft attention beside hard addressing (section 4.2; figure 1's claim about the cost of a slot)."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import curves, figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import Found, System

SYSTEMS = (systems.VMA, systems.VMA_3E4, systems.VAE, systems.SOFT, systems.SOFT_K1, systems.SOFT_2X16)
PAPER: dict[str, float | str] = {"vae": 90.8, "vma": "69.1 to 75.1"}
PAPER_SOFT = 73.4  # at its best: a memory of 16 drawings of one or two classes
PAPER_SAMPLES = 4
TARGETS, SEED = 4, 0
# Memory (classes, drawings), K, episodes, share of the time left.
MEASURED = (((8, 4), 4, 400, 0.3), ((8, 4), 1000, 30, 0.8), ((2, 16), 4, 400, 0.5), ((1, 16), 4, 400, 1.0))


def run(lab: Lab) -> Result:
    """Train all and score them on the same episodes."""
    found = systems.trained(lab, SYSTEMS)
    config = SYSTEMS[0].plan.config()
    dataset = lab.dataset(config)
    test = dataset.test.binarised(config.data.seed)
    rows: list[Row] = []
    differences: list[Row] = []
    costs: list[Row] = []
    notes, kept = [], {}
    for (classes, shots), samples, episodes, share in MEASURED:
        sampler = EpisodeSampler(test, n_way=classes, n_shot=shots, n_target=TARGETS, seed=SEED, device=lab.device)
        measured = systems.scores(lab, found, sampler, samples=samples, episodes=episodes, seed=SEED, share=share)
        where = f"{classes} × {shots} in memory, K = {samples}"
        rows += [_nll_row(found, measured, system, f"NLL, {where}", (classes, shots), samples) for system in SYSTEMS]
        differences += [
            systems.difference_row(found, measured, system, SYSTEMS[0], sampler, test, group=f"difference, {where}")
            for system in SYSTEMS[1:]
            if {system.key, SYSTEMS[0].key} <= measured.keys()
        ]
        if not measured:
            continue
        notes.append(f"{where}: {next(iter(measured.values())).episodes} episodes, the same for all systems")
        kept[where] = {
            key: {"nll": one.nll, "nll_se": one.nll_se, "elbo": one.elbo, "per_episode": one.per_episode} | _parts(one)
            for key, one in measured.items()
        }
        if not costs:
            costs = [_cost_row(found, measured, system, where) for system in SYSTEMS if system.key in measured]
            drawn = measured
    head = systems.describe(dataset, "test split", "averaged weights", f"{TARGETS} targets a class", f"seed {SEED}")
    written = figures.save(_figure(found, drawn), lab.out / "baselines") if costs else []
    written += curves.write(lab)
    rows += differences + costs
    return Result(rows, [head, *notes, *systems.seeds_note(found)], written, kept)


def _nll_row(
    found: Found, measured: Mapping[str, Score], system: System, group: str, memory: tuple[int, int], samples: int
) -> Row:
    one = measured.get(system.key)
    paper: float | str | None = None
    if samples == PAPER_SAMPLES:  # with more samples a bound is another number
        if memory == (8, 4) or system is systems.VAE:
            paper = PAPER.get(system.key)
        elif system is systems.SOFT_2X16:
            paper = PAPER_SOFT
    values = (one.nll, one.nll_se) if one else (None, None)
    return Row.of(found[system.key], system.label, *values, group=group, paper=paper)


def _cost_row(found: Found, measured: Mapping[str, Score], system: System, where: str) -> Row:
    """What finding a slot and a latent costs together, in nats."""
    one = measured[system.key]
    note = f"KL_a {one.kl_address:.2f} + KL_z {one.kl_latent:.2f}, reconstruction {one.reconstruction:.2f}"
    return Row.of(
        found[system.key],
        f"{system.label}, KL_a + KL_z",
        one.kl_address + one.kl_latent,
        group=f"cost of finding slot and latent, {where}",
        note=note,
    )


def _parts(one: Score) -> dict[str, float]:
    return {"reconstruction": one.reconstruction, "kl_address": one.kl_address, "kl_latent": one.kl_latent}


def _figure(found: Found, measured: Mapping[str, Score]) -> Figure:
    """Where the nats go: −ELBO of each system as the sum of its parts, and the bound beside it."""
    shown = [system for system in SYSTEMS if system.key in measured]
    figure, axes = figures.new(height=0.75 * len(shown) + 1.3)
    parts = (
        ("reconstruction", "reconstruction", "0.88", ""),
        ("kl_latent", "KL$_z$, the latent", figures.COLOURS[5], "//"),
        ("kl_address", "KL$_a$, the address", figures.COLOURS[6], ""),
    )
    places = range(len(shown))
    left = [0.0] * len(shown)
    for name, label, colour, hatch in parts:
        widths = [getattr(measured[system.key], name) for system in shown]
        axes.barh(places, widths, 0.62, left, label=label, color=colour, hatch=hatch, edgecolor="0.25", linewidth=0.6)
        for place, start, width in zip(places, left, widths, strict=True):
            if width > 0.005:
                inside = width > 6
                at = start + width / 2 if inside else start + width + 0.6
                text = axes.text(at, place, f"{width:.1f}", va="center", ha="center" if inside else "left", fontsize=8)
                text.set_bbox({"facecolor": "white" if inside else "none", "edgecolor": "none", "pad": 1.5})
        left = [start + width for start, width in zip(left, widths, strict=True)]
    bounds = [measured[system.key].nll for system in shown]
    below = [place + 0.36 for place in places]
    axes.plot(bounds, below, "^", color="black", markersize=7, label="NLL, K-sample bound")
    for bound, height in zip(bounds, below, strict=True):
        axes.text(bound + 1.2, height + 0.08, f"{bound:.1f}", va="center", fontsize=8)
    steps = [min(one.step for one in found[system.key]) for system in shown]
    axes.set_yticks(places, [f"{one.label}\nstep {step:,}" for one, step in zip(shown, steps, strict=True)])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("nats per image")
    axes.set_xlim(0, 1.08 * max(left))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure
