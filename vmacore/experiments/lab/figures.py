"""How figures are drawn: readable in print, in colour and in grey. No global state of matplotlib is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vmacore.errors import writing

# Colours of Okabe & Ito (2008), told apart by colour-blind readers, in an order whose lightness alternates; dashes and
# markers tell them apart where there is no colour.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OPTIMUM = {"color": "0.35", "linestyle": (0, (5, 3)), "linewidth": 1.2}  # the dashed line of a perfect model
RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.88",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "svg.hashsalt": "vma",  # the same figure is the same file
}


@dataclass(frozen=True)
class Style:
    """How one system is drawn in all figures."""

    colour: str
    marker: str

    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot` and `Axes.errorbar`."""
        return {"color": self.colour, "marker": self.marker}


STYLES = tuple(Style(colour, marker) for colour, marker in zip(COLOURS, MARKERS, strict=True))


def new(rows: int = 1, columns: int = 1, *, width: float = 6.4, height: float = 4.2, **more: Any) -> tuple[Figure, Any]:
    """A figure of that size in inches and its axes: one, or an array of them."""
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **more)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.png and STEM.svg; returns both paths.

    Raises:
        VmaError: a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    with writing(stem.parent, "choose another --out"):
        stem.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(RC):
            figure.savefig(paths[0], dpi=160)
            figure.savefig(paths[1], metadata={"Date": None})
    return paths


def legend(axes: Any, **more: Any) -> None:
    """A small legend without a frame."""
    axes.legend(**{"fontsize": 8, "frameon": False, **more})


@dataclass(frozen=True)
class Bars:
    """A bar for each place of an axis."""

    label: str
    values: Sequence[float]
    colour: str
    hatch: str = ""

    def look(self) -> dict[str, Any]:
        """Arguments of `Axes.bar` and `Axes.barh`."""
        return {"label": self.label, "color": self.colour, "hatch": self.hatch, "edgecolor": "0.25", "linewidth": 0.6}


def grouped(axes: Any, series: Sequence[Bars], ticks: Sequence[str], *, step: float, decimals: int) -> None:
    """Bars side by side, with their values on top."""
    for position, bars in enumerate(series):
        places = [place + step * (position - (len(series) - 1) / 2) for place in range(len(ticks))]
        axes.bar(places, bars.values, step - 0.02, **bars.look())
        for place, value in zip(places, bars.values, strict=True):
            axes.text(place, value + 1, f"{value:.{decimals}f}", ha="center", fontsize=8)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.grid(False, axis="x")


def picture(axes: Any, image: Tensor, *, frame: str = "0.75", width: float = 0.6) -> None:
    """Draw ink [H, W] in [0, 1] dark on white, with a thin frame and no ticks."""
    axes.imshow((1 - image.cpu().clamp(0, 1)).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=frame, linewidth=width)


def sheet(images: Tensor, *, gap: int = 1, grey: float = 0.75) -> Tensor:
    """Images [R, C, H, W] in [0, 1] as one picture [R·(H + gap) + gap, C·(W + gap) + gap], grey lines between them."""
    R, C, H, W = images.shape
    paper = torch.full((R * (H + gap) + gap, C * (W + gap) + gap), 1 - grey)
    for r in range(R):
        for c in range(C):
            top, left = r * (H + gap) + gap, c * (W + gap) + gap
            paper[top : top + H, left : left + W] = images[r, c]
    return paper


def counts_axis(axes: Any, ticks: Sequence[int]) -> None:
    """A logarithmic axis of counts with the numbers themselves as ticks."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()


def stacked(axes: Any, parts: Sequence[Bars]) -> float:
    """Bars on top of each other, with their values inside; returns the height of the highest."""
    bottom = [0.0] * len(parts[0].values)
    for bars in parts:
        axes.bar(range(len(bottom)), bars.values, 0.66, bottom, **bars.look())
        for place, (start, height) in enumerate(zip(bottom, bars.values, strict=True)):
            axes.text(place, start + height / 2, f"{height:.1f}", ha="center", va="center", fontsize=8)
        bottom = [start + height for start, height in zip(bottom, bars.values, strict=True)]
    return max(bottom)


def stacked_across(axes: Any, parts: Sequence[Bars]) -> float:
    """The same lying, with the values of narrow bars beside them; returns the length of the longest."""
    left = [0.0] * len(parts[0].values)
    for bars in parts:
        axes.barh(range(len(left)), bars.values, 0.62, left, **bars.look())
        for place, (start, width) in enumerate(zip(left, bars.values, strict=True)):
            if width > 0.005:
                inside = width > 6
                at = start + width / 2 if inside else start + width + 0.6
                text = axes.text(at, place, f"{width:.1f}", va="center", ha="center" if inside else "left", fontsize=8)
                text.set_bbox({"facecolor": "white" if inside else "none", "edgecolor": "none", "pad": 1.5})
        left = [start + width for start, width in zip(left, bars.values, strict=True)]
    return max(left)
