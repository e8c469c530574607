"""Learning curves of all trainings of the paper's recipe, as far as their runs are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from matplotlib.figure import Figure

from vmacore.experiments.lab import figures
from vmacore.experiments.lab.lab import Lab
from vmacore.files import replacing
from vmacore.runs import metrics

PANELS = {
    "VMA, h and h_q tied or apart": {
        "tied, 1e-4": "omniglot-1e-4",
        "tied, 3e-4 and from 20,000 on 1e-4": "omniglot-tied-on",
        "apart, 1e-4": "omniglot-apart-1e-4",
        "apart, 3e-4": "omniglot-apart",
        "apart, 3e-4, seed 1": "omniglot-apart-seed1",
        "apart, 3e-4, seed 2": "omniglot-apart-seed2",
        "apart, 3e-4, then falling to 0": "omniglot-apart-decay",
    },
    "systems": {
        "VMA at 1e-4": "omniglot-1e-4",
        "plain VAE at 3e-4": "omniglot-vae",
        "soft attention at 3e-4": "omniglot-soft-attention",
        "soft attention, K = 1, at 3e-4": "omniglot-soft-attention-k1",
        "soft attention, 2 × 16, at 3e-4": "omniglot-soft-attention-2x16",
        "VMA of 8 × 1 at 1e-4": "omniglot-8x1-start",
    },
    "ablations": {name: f"ablation-{name}" for name in ("paper", "inner", "cosine", "flat", "tied", "32-classes")},
    "continued from 8 × 4; table 1's": {
        **{f"8 × {shots}": f"omniglot-8x{shots}" for shots in (1, 2, 4, 8, 16)},
        "table 1, VMA": "omniglot-gmn",
        "table 1, GMN": "gmn",
    },
}


@dataclass(frozen=True)
class Point:
    """A validation of a run: step, NLL and its standard error, and the mean training NLL since the one before."""

    run: str
    step: int
    validation: float
    se: float
    training: float


def read(run: Path) -> list[Point]:
    """All validations of a run, by step; none where there is no run."""
    rows = metrics.rows(run)
    points: list[Point] = []
    training = {row["step"]: row["nll"] for row in rows if row["kind"] == "train"}
    for step, row in sorted({row["step"]: row for row in rows if row["kind"] == "validation"}.items()):
        before = points[-1].step if points else 0
        since = [nll for at, nll in training.items() if before < at <= step]
        points.append(Point(run.name, step, row["nll"], row["nll_se"], sum(since) / max(1, len(since))))
    return points


def write(lab: Lab) -> list[Path]:
    """Write learning-curves.csv, .png and .svg; the figures' paths, none where no run was validated twice."""
    names = dict.fromkeys(name for panel in PANELS.values() for name in panel.values())
    curves = {name: points for name in names if len(points := read(lab.runs_dir / name)) > 1}
    if not curves:
        return []
    with replacing(lab.out / "learning-curves.csv") as file:
        lines = [[field.name for field in fields(Point)]]
        lines += [
            [str(round(value, 3) if isinstance(value, float) else value) for value in astuple(point)]
            for points in curves.values()
            for point in points
        ]
        file.write("".join(",".join(line) + "\n" for line in lines).encode())
    return figures.save(_figure(curves), lab.out / "learning-curves")


def _figure(curves: Mapping[str, list[Point]]) -> Figure:
    """A panel for each group: validation as lines with markers, training thin; dots mark the best on validation."""
    figure, panels = figures.new(2, 2, width=10, height=7.6)
    for axes, (title, panel) in zip(panels.flat, PANELS.items(), strict=True):
        for style, (label, name) in zip(figures.STYLES, panel.items(), strict=False):
            if name not in curves:
                continue
            points = curves[name]
            steps = [point.step / 1000 for point in points]
            axes.plot(steps, [point.validation for point in points], color=style.colour, label=label)
            axes.plot(steps, [point.training for point in points], ":", color=style.colour, linewidth=0.9)
            best = min(points, key=lambda point: point.validation)
            axes.plot(best.step / 1000, best.validation, style.marker, color=style.colour)
        if not axes.lines:
            axes.set_visible(False)
            continue
        lowest = min(p.validation for name in panel.values() for p in curves.get(name, []))
        axes.set(title=title, xlabel="thousands of steps", ylabel="NLL in nats", ylim=(lowest - 8, lowest + 30))
        axes.title.set_fontsize(10)
        figures.legend(axes)
    figure.supxlabel("lines: validation classes; dotted: training classes; a mark: the best on validation", fontsize=8)
    return figure
