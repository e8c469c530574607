"""Charts as SVG inside a page: colours come from its style, so that they suit a light and a dark ground alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from vmacore.reports.page import fragment

STYLES = 8  # colours of the style sheet, c0 … c7
WIDTH, HEIGHT = 360, 224  # units of a chart, about pixels of a narrow screen
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 10, 38
LONGEST = 240  # points of a line: more are no finer to see


@dataclass(frozen=True)
class Line:
    """A line through points (x, y), ascending in x.

    style: its colour, 0 … STYLES − 1. errors: half the length of a bar at each point; none if empty. dots: whether
    points are marked. dashed: whether it is. mark: one point told apart.
    """

    label: str
    points: Sequence[tuple[float, float]]
    style: int = 0
    errors: Sequence[float] = ()
    dots: bool = False
    dashed: bool = False
    mark: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """Lines over one pair of axes.

    top: where the vertical axis ends; None: at the highest point. doubling: whether the horizontal axis goes by factors
    of two, with a tick at each x there is.
    """

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    top: float | None = None
    doubling: bool = False


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in units of the chart, and what stands there."""

    at: float
    label: str


@dataclass(frozen=True)
class _Axis:
    """From values to units of the chart."""

    low: float
    high: float
    start: float
    end: float
    doubling: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log2(v) if self.doubling else v for v in (self.low, self.high, value))
        part = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + part * (self.end - self.start), 1)


def svg(chart: Chart) -> Markup:
    """The chart with its legend; of a line without a finite point nothing is drawn, and it is not in the legend."""
    lines = [line for line in map(_finite, chart.lines) if line.points]
    xs = [x for line in lines for x, _ in line.points]
    tops = [y + error for line in lines for (_, y), error in zip(line.points, _errors(line), strict=True)]
    lows = [y - error for line in lines for (_, y), error in zip(line.points, _errors(line), strict=True)]
    if not xs:
        return Markup()
    highest = max(tops) if chart.top is None else min(chart.top, max(tops))
    steps = _ticks(min(lows), highest)
    across = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, chart.doubling)
    up = _Axis(min(steps[0], min(lows)), max(steps[-1], highest), HEIGHT - BOTTOM, TOP)
    places = sorted(set(xs)) if chart.doubling else _within(_ticks(min(xs), max(xs)), min(xs), max(xs))
    return fragment(
        "chart.svg.j2",
        chart=chart,
        size=(WIDTH, HEIGHT),
        box=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        across=[Tick(across(x), short(x)) for x in places],
        up=[Tick(up(y), short(y)) for y in steps],
        lines=[
            {
                "line": line,
                "path": " ".join(f"{across(x)},{up(y)}" for x, y in _thinned(line.points)),
                "dots": [(across(x), up(y)) for x, y in line.points] if line.dots else [],
                "bars": [
                    (across(x), up(y - error), up(y + error))
                    for (x, y), error in zip(line.points, line.errors, strict=False)
                ],
                "mark": line.mark and (across(line.mark[0]), up(line.mark[1])),
            }
            for line in lines
        ],
    )


def short(value: float) -> str:
    """A number on an axis: 0.5, 20, 20k."""
    text = f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
    return text.replace("-", "−")


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from the last at or below `low` to the first at or above `high`."""
    return [float(tick) for tick in MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _within(ticks: Sequence[float], low: float, high: float) -> list[float]:
    return [tick for tick in ticks if low <= tick <= high]


def _finite(line: Line) -> Line:
    """Without points that are not numbers."""
    kept = [
        (point, error)
        for point, error in zip(line.points, _errors(line), strict=True)
        if all(map(math.isfinite, (*point, error)))
    ]
    errors = [error for _, error in kept] if line.errors else ()
    return replace(line, points=[point for point, _ in kept], errors=errors)


def _errors(line: Line) -> Sequence[float]:
    return line.errors or [0.0] * len(line.points)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about LONGEST points: means of neighbours."""
    size = math.ceil(len(points) / LONGEST)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]
