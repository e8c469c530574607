"""The figures of `fig2a`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from vmacore.evaluation.likelihood import Score
from vmacore.experiments.lab import figures
from vmacore.experiments.lab.plans import Trained

Look = Mapping[str, Any]  # a row of metrics.jsonl


def curves(mains: Mapping[str, Trained], slots: int, samples: int) -> Figure:
    """Figure 2A: where the nats go in training; logarithmic, since the memory takes over early here."""
    figure, panels = figures.new(1, len(mains), width=1.6 + 4.8 * len(mains), sharey=True, squeeze=False)
    for (heading, main), axes in zip(mains.items(), panels[0], strict=True):
        training, validation = main.metrics("train"), main.metrics()
        for name, label, style in (
            ("nll", f"NLL, K = {samples}", 0),
            ("kl_address", "KL_a", 1),
            ("kl_latent", "KL_z", 2),
            ("reconstruction", "reconstruction", 3),
        ):
            line = {**figures.STYLES[style].line(), "markevery": 0.15}
            axes.plot(*binned(training, name), label=f"{label}, training", **line)
        axes.plot(
            [row["step"] for row in validation],
            [row["nll"] for row in validation],
            color="0.2",
            linestyle=":",
            label="NLL, averaged weights, validation images",
        )
        axes.axhline(math.log(slots), **figures.OPTIMUM, label=f"log {slots}")
        axes.set(xscale="log", yscale="log", xlabel="updates", title=heading)
        axes.set_ylim(bottom=1e-3)
    panels[0][0].set_ylabel("nats")
    figures.legend(panels[0][0])
    return figure


def depends(
    scores: Mapping[str, Mapping[int, Score]],
    ways: Mapping[str, Mapping[int, Trained]],
    skips: Mapping[str, Trained],
    *,
    slots: int,
    skip_steps: int,
    tested: Sequence[int],
) -> Figure:
    """NLL against |M| in testing; the way to the optimum for each |M| in training; and for each way of a slot."""
    figure, ((left, right), (apart, tied)) = figures.new(2, 2, width=10.4, height=7.6)
    for style, (label, several) in zip(figures.STYLES, scores.items(), strict=False):
        above = [one.nll - math.log(size) for size, one in several.items()]
        left.plot(list(several), above, **style.line(), label=label)
    figures.counts_axis(left, tested)
    left.set(xlabel="test images in memory", ylabel="NLL − log |M|, in nats", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_title(f"trained with |M| = {slots}", fontsize=10)
    for style, (label, trained) in zip(figures.STYLES, skips.items(), strict=False):
        _way(right, trained, label, style, lambda row: row["kl_address"])
    right.axhline(math.log(slots), **figures.OPTIMUM, label=f"log {slots}")
    right.set(xlabel="updates", ylabel="KL_a, in nats", ylim=(0, None), xlim=(0, skip_steps))
    right.set_title("how a slot enters at the pixels", fontsize=10)
    for axes, (label, sizes) in zip((apart, tied), ways.items(), strict=True):
        for style, (size, trained) in zip(figures.STYLES, sizes.items(), strict=False):
            _way(axes, trained, f"|M| = {size}", style, _above_optimum(size))
        axes.set(xlabel="updates", ylabel="NLL − log |M|, in nats", xscale="log", yscale="log")
        axes.set_title(f"validation while training, {label}", fontsize=10)
    for axes in (left, right, apart, tied):
        if axes.get_legend_handles_labels()[0]:
            figures.legend(axes)
    return figure


def binned(curve: Sequence[Look], name: str, per_decade: int = 16) -> tuple[list[float], list[float]]:
    """Updates and means of a column over stretches of equal length on a logarithmic axis."""
    bins: dict[int, list[Look]] = {}
    for row in curve:
        bins.setdefault(int(per_decade * math.log10(row["step"])), []).append(row)
    means = [[sum(row[key] for row in rows) / len(rows) for rows in bins.values()] for key in ("step", name)]
    return means[0], means[1]


def _above_optimum(size: int) -> Callable[[Look], float]:
    return lambda row: row["nll"] - math.log(size)


def _way(axes: Any, trained: Trained, label: str, style: figures.Style, value: Callable[[Look], float]) -> None:
    rows = trained.metrics()
    if rows:
        steps = [row["step"] for row in rows]
        axes.plot(steps, [value(row) for row in rows], **style.line(), markevery=0.15, label=label)
