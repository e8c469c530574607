"""Table 1: hard addressing beside the generative matching network (GMN), on that network's own data.

The paper does not say what its columns count. The GMN's look like the items in memory altogether, which its released
code reports; those of hard addressing like the items of each class. And that code draws drawings with replacement, at
test time too, so that a target may already be in memory. Here both systems are measured either way, and without
replacement first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vmacore.data.characters import Characters
from vmacore.episodes.sequence import SetSampler
from vmacore.errors import VmaError
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures, systems
from vmacore.experiments.lab.lab import Lab
from vmacore.experiments.lab.paired import differences, episode_se
from vmacore.experiments.lab.plans import Plan, comparable
from vmacore.experiments.lab.result import Result, Row
from vmacore.experiments.lab.systems import Found, System

STEPS = 60_000
VMA = System("vma", "VMA", Plan("omniglot-gmn", steps=STEPS), 0)
GMN = System("gmn", "GMN", Plan("gmn", steps=STEPS, full=90_000), 1)
EACH_CLASS = {VMA: True, GMN: False}  # what the paper's columns are taken to count
CLASSES, ITEMS = (1, 2, 4, 16), (1, 2, 3, 4, 5, 10, 19)
_NUMBERS = {
    (VMA, 1): (86.5, 83.0, 79.6, 79.0, 76.5, 76.2, 73.9),
    (VMA, 2): (87.2, 83.3, 80.9, 79.3, 79.1, 77.0, 75.0),
    (VMA, 4): (87.5, 83.3, 81.2, 80.7, 79.5, 78.6, 76.7),
    (VMA, 16): (89.6, 85.1, 81.5, 81.9, 81.3, 79.8, 77.0),
    (GMN, 1): (83.3, 78.9, 75.7, 72.9, 70.1, 59.9, 45.8),
    (GMN, 2): (86.4, 84.9, 82.4, 81.0, 78.8, 71.4, 61.2),
    (GMN, 4): (88.3, 87.3, 86.7, 85.4, 84.0, 80.2, 73.7),
}
PAPER = {key: dict(zip(ITEMS, numbers, strict=True)) for key, numbers in _NUMBERS.items()}
SAMPLES, EPISODES, SEED = (1000, 100), 400, 0
ENOUGH = 200  # episodes; where there is no time for so many, fewer samples do
DIFFERENCES = (1, 5, 19)  # columns of which the table shows the paired difference


@dataclass(frozen=True)
class Setting:
    """What is conditioned on: `items` drawings of `classes` classes, of each of them or altogether."""

    replacement: bool
    each_class: bool
    classes: int
    items: int


Cell = tuple[System, Setting]


def settings(replacement: bool, each_class: bool, classes: Iterable[int]) -> list[Setting]:
    """One for each number of classes and of items; of a single class, items altogether are those of each."""
    return [Setting(replacement, each_class and C > 1, C, items) for C in classes for items in ITEMS]


def parts() -> list[list[Cell]]:
    """What is measured, in order: the paper's cells under both protocols, then with items counted the other way."""
    own, other = [], []
    for replacement in (False, True):
        own.append([(s, one) for s, each in EACH_CLASS.items() for one in settings(replacement, each, CLASSES)])
        other.append(
            [(s, one) for s, each in EACH_CLASS.items() for one in settings(replacement, not each, CLASSES[1:])]
        )
    return [*own, *other]


def sampler(lab: Lab, test: Characters, setting: Setting) -> SetSampler:
    """Episodes of a setting, with the same targets in all of them."""
    return SetSampler(
        test,
        n_classes=setting.classes,
        n_items=setting.items,
        each_class=setting.each_class,
        replacement=setting.replacement,
        longest=ITEMS[-1],
        seed=SEED,
        device=lab.device,
    )


def run(lab: Lab) -> Result:
    """Train both to equal steps and score them, the paper's own cells first."""
    found = systems.trained(lab, (VMA, GMN))
    config = VMA.plan.config()
    dataset = lab.dataset(config)
    measured, samples = _measure(lab, found, dataset.test.binarised(config.data.seed))

    rows = [_row(found, measured, cell, samples) for part in parts()[:2] for cell in part]
    rows += [_difference(found, measured, setting) for setting in _compared(measured)]
    _write(lab.out / "tables.md", _tables(measured))
    targets = f"{max((score.targets for score in measured.values()), default=0)} targets, the same in all cells"
    about = ("test split", f"K = {samples}", targets, f"seed {SEED}", "averaged weights")
    notes = [
        systems.describe(dataset, *about),
        "VMA's columns count the items of each class, the GMN's those altogether, as the paper's seem to; tables.md "
        "has both counts for both, as far as there was time.",
        "With replacement, as the GMN's released code draws them at test time too, a target may already be in memory.",
        *systems.seeds_note(found),
    ]
    written = figures.save(_figure(measured), lab.out / "table1") if measured else []
    return Result(rows, notes, written, _kept(measured))


def _measure(lab: Lab, found: Found, test: Characters) -> tuple[dict[Cell, Score], int]:
    """Scores of as many of the `parts` as there is time for, all of the same episodes, and their K."""
    there = systems.there(found)

    def score(cell: Cell, episodes: int, samples: int) -> Score:
        system, setting = cell
        one, episodes_of = {system.key: there[system.key]}, sampler(lab, test, setting)
        scored = systems.scores(lab, one, episodes_of, samples=samples, episodes=episodes, seed=SEED, fixed=True)
        return scored[system.key]

    wanted = [[cell for cell in part if cell[0].key in there] for part in parts()]
    # One cell in the middle of each table stands for the time of all.
    middle = [
        cell
        for cell in wanted[0]
        if (cell[1].classes, cell[1].items) == (CLASSES[len(CLASSES) // 2], ITEMS[len(ITEMS) // 2])
    ]
    episodes, samples = 0, SAMPLES[-1]
    for samples in SAMPLES if middle else ():

        def probe(count: int, samples: int = samples) -> None:
            for cell in middle:
                score(cell, count, samples)

        share = 0.9 * len(middle) / (len(wanted[0]) + len(wanted[1]))
        episodes = lab.affordable(probe, EPISODES, share=share)
        if episodes >= min(ENOUGH, EPISODES):
            break
    measured: dict[Cell, Score] = {}
    for number, part in enumerate(wanted if episodes else []):
        before = lab.time_left()
        measured |= {cell: score(cell, episodes, samples) for cell in part}
        # The next part is no longer than this one. The first two go together.
        if number and lab.time_left() < 1.1 * (before - lab.time_left()):
            break
    return measured, samples


def _row(found: Found, measured: Mapping[Cell, Score], cell: Cell, samples: int) -> Row:
    system, setting = cell
    one, paper = measured.get(cell), PAPER.get((system, setting.classes))
    return Row.of(
        found[system.key],
        f"{system.label}, {_column(setting)}",
        *((one.nll, one.nll_se) if one else (None, None)),
        group=f"NLL {_protocol(setting.replacement)}, {classes_label(setting.classes)}, K = {samples}",
        paper=paper[setting.items] if paper else None,
    )


def _compared(measured: Mapping[Cell, Score]) -> list[Setting]:
    """Settings without replacement, of some columns, in which both systems saw the same episodes."""
    wanted = settings(False, False, CLASSES) + settings(False, True, CLASSES[1:])
    both = [one for one in wanted if (VMA, one) in measured and (GMN, one) in measured]
    return [one for one in both if one.items in DIFFERENCES]


def _difference(found: Found, measured: Mapping[Cell, Score], setting: Setting) -> Row:
    both = [*found[VMA.key], *found[GMN.key]]
    label = f"{classes_label(setting.classes)}, {_column(setting)}"
    group = f"VMA less GMN, paired, {_protocol(setting.replacement)}"
    if not comparable(both):
        steps = f"{found[VMA.key][0].updates:,} and {found[GMN.key][0].updates:,}"
        return Row.of(both, label, group=group, note=f"not compared: trained for {steps} updates")
    one, other = measured[VMA, setting], measured[GMN, setting]
    return Row.of(both, label, float(differences(one, other).mean()), episode_se(one, other), group=group)


def _protocol(replacement: bool) -> str:
    return "with replacement" if replacement else "without replacement"


def _count(each_class: bool) -> str:
    return "items of each class" if each_class else "items altogether"


def classes_label(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def _column(setting: Setting) -> str:
    if setting.each_class:
        return f"{setting.items} a class"
    return "1 item" if setting.items == 1 else f"{setting.items} items"


def _tables(measured: Mapping[Cell, Score]) -> str:
    """All that was measured as Markdown, a table for each protocol and count with the paper's columns."""
    lines = []
    for replacement in (False, True):
        for each_class in (False, True):
            lines += [f"## NLL {_protocol(replacement)}, {_count(each_class)}", ""]
            lines += ["| model, classes | " + " | ".join(map(str, ITEMS)) + " |", "| --- |" + " --- |" * len(ITEMS)]
            for system in EACH_CLASS:
                for C in CLASSES:
                    row = [measured.get((system, one)) for one in settings(replacement, each_class, (C,))]
                    shown = ["–" if one is None else f"{one.nll:.1f} ± {one.nll_se:.1f}" for one in row]
                    lines.append(f"| {system.label} {C} | " + " | ".join(shown) + " |")
            lines.append("")
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise VmaError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error


def _kept(measured: Mapping[Cell, Score]) -> dict[str, object]:
    cells = []
    for (system, setting), one in measured.items():
        parts = {"kl_address": one.kl_address, "kl_latent": one.kl_latent, "reconstruction": one.reconstruction}
        score = {"nll": one.nll, "nll_se": one.nll_se, **parts, "per_episode": one.per_episode}
        cells.append({"system": system.label, **vars(setting), **score})
    return {"cells": cells}


def _figure(measured: Mapping[Cell, Score]) -> Figure:
    """NLL against the columns: a panel for each number of classes, a line of them for each protocol."""
    figure, panels = figures.new(2, len(CLASSES), width=11, height=5.6, sharex=True, sharey=True)
    for replacement, line in zip((False, True), panels, strict=True):
        for C, axes in zip(CLASSES, line, strict=True):
            for system in EACH_CLASS:
                _curves(axes, measured, system, replacement, C)
            axes.set_title(classes_label(C), fontsize=10)
            figures.counts_axis(axes, ITEMS)
        line[0].set_ylabel(f"NLL {_protocol(replacement)} (nats)")
    for axes in panels[1]:
        axes.set_xlabel("items in memory")
    handles, labels = panels[0][-2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _curves(axes: Any, measured: Mapping[Cell, Score], system: System, replacement: bool, C: int) -> None:
    style, own = figures.STYLES[system.style], EACH_CLASS[system]
    for each_class in (own,) if C == 1 else (own, not own):
        row = [measured.get((system, one)) for one in settings(replacement, each_class, (C,))]
        points = [(items, one.nll, one.nll_se) for items, one in zip(ITEMS, row, strict=True) if one is not None]
        if not points:
            continue
        how = {} if each_class == own else {"markerfacecolor": "white", "linestyle": ":"}
        x, y, errors = zip(*points, strict=True)
        label = f"{system.label}, {_count(each_class)}"
        axes.errorbar(x, y, errors, **style.line(), **how, capsize=2, label=label)
    if (system, C) in PAPER:
        paper = {"color": "0.6", "marker": style.marker, "linestyle": "", "markersize": 4}
        axes.plot(*zip(*PAPER[system, C].items(), strict=True), **paper, label=f"{system.label}, the paper")
