"""The tables and the figure of table 1, and what its page keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vmacore.errors import writing
from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures
from vmacore.experiments.lab import table1_cells as cells
from vmacore.experiments.lab.systems import System
from vmacore.experiments.lab.table1_cells import EACH_CLASS, PAPER, Cell, classes_label, count, protocol, settings
from vmacore.files import replace


def write(path: Path, measured: Mapping[Cell, Score]) -> None:
    """Write all that was measured as Markdown.

    Raises:
        VmaError: the file cannot be written.
    """
    with writing(path, "choose another --out"):
        replace(path, _tables(measured).encode())


def _tables(measured: Mapping[Cell, Score]) -> str:
    """All that was measured as Markdown, a table for each protocol and count with the paper's columns."""
    lines = []
    for replacement in (False, True):
        for each_class in (False, True):
            lines += [f"## NLL {protocol(replacement)}, {count(each_class)}", ""]
            lines += [
                "| model, classes | " + " | ".join(map(str, cells.ITEMS)) + " |",
                "| --- |" + " --- |" * len(cells.ITEMS),
            ]
            for system in EACH_CLASS:
                for C in cells.CLASSES:
                    row = [measured.get((system, one)) for one in settings(replacement, each_class, (C,))]
                    shown = ["–" if one is None else f"{one.nll:.1f} ± {one.nll_se:.1f}" for one in row]
                    lines.append(f"| {system.label} {C} | " + " | ".join(shown) + " |")
            lines.append("")
    return "\n".join(lines)


def kept(measured: Mapping[Cell, Score]) -> dict[str, object]:
    """A score for each cell, as JSON."""
    rows = []
    for (system, setting), one in measured.items():
        parts = {"kl_address": one.kl_address, "kl_latent": one.kl_latent, "reconstruction": one.reconstruction}
        score = {"nll": one.nll, "nll_se": one.nll_se, **parts, "per_episode": one.per_episode}
        rows.append({"system": system.label, **vars(setting), **score})
    return {"cells": rows}


def figure(measured: Mapping[Cell, Score]) -> Figure:
    """NLL against the columns: a panel for each number of classes, a line of them for each protocol."""
    drawn, panels = figures.new(2, len(cells.CLASSES), width=11, height=5.6, sharex=True, sharey=True)
    for replacement, line in zip((False, True), panels, strict=True):
        for C, axes in zip(cells.CLASSES, line, strict=True):
            for system in EACH_CLASS:
                _curves(axes, measured, system, replacement, C)
            axes.set_title(classes_label(C), fontsize=10)
            figures.counts_axis(axes, cells.ITEMS)
        line[0].set_ylabel(f"NLL {protocol(replacement)} (nats)")
    for axes in panels[1]:
        axes.set_xlabel("items in memory")
    handles, labels = panels[0][-2].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3)
    return drawn


def _curves(axes: Any, measured: Mapping[Cell, Score], system: System, replacement: bool, C: int) -> None:
    style, own = figures.STYLES[system.style], EACH_CLASS[system]
    for each_class in (own,) if C == 1 else (own, not own):
        row = [measured.get((system, one)) for one in settings(replacement, each_class, (C,))]
        points = [(items, one.nll, one.nll_se) for items, one in zip(cells.ITEMS, row, strict=True) if one is not None]
        if not points:
            continue
        how = {} if each_class == own else {"markerfacecolor": "white", "linestyle": ":"}
        x, y, errors = zip(*points, strict=True)
        label = f"{system.label}, {count(each_class)}"
        axes.errorbar(x, y, errors, **style.line(), **how, capsize=2, label=label)
    if (system, C) in PAPER:
        paper = {"color": "0.6", "marker": style.marker, "linestyle": "", "markersize": 4}
        axes.plot(*zip(*PAPER[system, C].items(), strict=True), **paper, label=f"{system.label}, the paper")
