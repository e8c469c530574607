"""Where q(a|x) looks: its histogram over ten drawings of eight unseen classes, and the likeliest slots (figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vmacore.episodes.base import Episode
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.study import SEED, Study
from vmacore.models.vma import VariationalMemoryAddressing

CLASSES, SHOTS, SHOWN, TOP = 8, 10, 2, 5
EPISODES = 100


@dataclass(frozen=True, eq=False)
class Looks:
    """An episode and q(a|x) [B, S] of its targets."""

    episode: Episode
    q: Tensor


def run(lab: Lab) -> Result:
    """Two targets to look at, and numbers over many."""
    study = Study(lab, systems.VMA)
    trained = study.first(systems.VMA)
    sampler = EpisodeSampler(study.characters(), n_way=CLASSES, n_shot=SHOTS, n_target=1, seed=SEED, device=lab.device)
    values, written = torch.zeros(0, 4, dtype=torch.float64), []
    model = trained.model
    if model is not None:
        assert isinstance(model, VariationalMemoryAddressing)
        table = []
        for step in range(EPISODES):
            lab.check_stop()
            if step > 1 and lab.time_left() <= 0:
                break
            looks = _look(model, sampler.at(step))
            table.append(_numbers(looks))
            if step == 0:
                written = figures.save(_figure(looks), lab.out / "fig3")
        values = torch.cat(table).cpu().double()  # [targets, 4]
    labels = (
        ("q(a|x) on slots of the target's class", "%", 100.0),
        (f"likeliest slot is of the target's class, 1 in {CLASSES} by chance", "%", 100.0),
        (f"of the {TOP} likeliest slots, of the target's class", "%", 100.0),
        (f"entropy of q(a|x), of log {CLASSES * SHOTS} = {torch.tensor(CLASSES * SHOTS).log():.2f}", "nats", 1.0),
    )
    rows = []
    for column, (label, unit, scale) in enumerate(labels):
        some = values[:, column] * scale
        measured = (float(some.mean()), float(some.std()) / len(some) ** 0.5) if len(some) > 1 else (None, None)
        rows.append(Row.of(trained, label, *measured, unit=unit))
    notes = [
        systems.describe(study.dataset, "test split", "averaged weights", f"seed {SEED}"),
        f"{len(values)} targets; the figure shows the first {SHOWN} of the first memory, chosen by no one",
        f"{CLASSES} classes × {SHOTS} drawings in memory; trained with 8 × 4",
    ]
    return Result(rows, notes, written)


@torch.no_grad()
def _look(model: VariationalMemoryAddressing, episode: Episode) -> Looks:
    addressing = model.address(episode.targets, model.read(episode.memory))
    return Looks(episode, addressing.log_q.exp())


def _numbers(looks: Looks) -> Tensor:
    """Mass on the right class, top slot right, share of the top slots right, entropy [B, 4]."""
    episode, q = looks.episode, looks.q
    right = (episode.memory_labels == episode.target_labels[:, None]).float()  # [B, S]
    top = right.gather(1, q.topk(TOP, 1).indices)  # [B, TOP]
    entropy = torch.special.entr(q).sum(1)
    return torch.stack([(q * right).sum(1), top[:, 0], top.mean(1), entropy], 1).cpu()


def _figure(looks: Looks) -> Figure:
    """A row for each target: the drawing, the histogram over slots by class, the likeliest slots."""
    episode, q = looks.episode, looks.q.cpu()
    figure, axes = figures.new(SHOWN, 2 + TOP, width=9.6, height=2.0 * SHOWN, width_ratios=[1.1, 5.2, *[0.9] * TOP])
    for row in range(SHOWN):
        right = int(episode.target_labels[row])
        target, histogram, *best = axes[row]
        figures.picture(target, episode.targets[row, 0])
        colours = [figures.COLOURS[6] if int(c) == right else "0.45" for c in episode.memory_labels]
        histogram.bar(range(len(q[row])), q[row].tolist(), 1.0, color=colours)
        for edge in range(SHOTS, CLASSES * SHOTS, SHOTS):
            histogram.axvline(edge - 0.5, color="0.8", linewidth=0.7)
        histogram.set_xticks(
            [SHOTS * c + SHOTS / 2 - 0.5 for c in range(CLASSES)],
            [f"class {c + 1}" + ("\n(its own)" if c == right else "") for c in range(CLASSES)],
            fontsize=7,
        )
        histogram.tick_params(axis="x", length=0)
        histogram.grid(False, axis="x")
        histogram.set(xlim=(-0.5, CLASSES * SHOTS - 0.5), ylabel="q(a|x)")
        for axis, slot in zip(best, q[row].topk(TOP).indices.tolist(), strict=True):
            own = int(episode.memory_labels[slot]) == right
            figures.picture(axis, episode.memory[slot, 0], frame=figures.COLOURS[6] if own else "0.6", width=1.6)
            axis.set_xlabel(f"{float(q[row, slot]):.2f}", fontsize=8)
        if row == 0:
            target.set_title("target x", fontsize=9)
            histogram.set_title(f"q(a|x) over {CLASSES} classes × {SHOTS} slots", fontsize=9)
            best[TOP // 2].set_title(f"the {TOP} likeliest slots", fontsize=9)
    return figure
