"""The page of a run: what it learned, what it can do, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from vmacore.config import Config
from vmacore.data.splits import sizes_in_words
from vmacore.experiments import EXPERIMENTS
from vmacore.experiments.lab.result import cells, grouped
from vmacore.reports import growth, numbers
from vmacore.reports.charts import Chart, svg
from vmacore.reports.gathering import RunReport
from vmacore.reports.key_map import SIDE
from vmacore.reports.page import fixed, render
from vmacore.reports.provenance import versions

SECTIONS = {
    "missing": ("missing", "Not on this page"),
    "curves": ("curves", "Learning curves"),
    "numbers": ("numbers", "Numbers"),
    "growth": ("sizes", "Sizes of memory"),
    "looks": ("looks", "q(a|x)"),
    "samples": ("samples", "Samples"),
    "key_map": ("map", "Map of the keys"),
    "made": ("made", "What it is made of"),
}


def run_page(report: RunReport) -> str:
    """The page, as HTML."""
    config = report.location.config
    rows = list(report.accuracies or ())
    if report.growth is not None:
        rows += numbers.bounds(report.growth, config.model.system, of_paper=report.of_paper)
    there = {"numbers": rows, "made": True}
    contents = [link for name, link in SECTIONS.items() if there.get(name, getattr(report, name, None))]
    return render(
        "run.html.j2",
        report=report,
        facts=_facts(report),
        contents=contents,
        curves=_drawn(report.curves.charts if report.curves else ()),
        numbers=[(group, [(cells(row), row.note) for row in members]) for group, members in grouped(rows)],
        compared=any(row.paper is not None for row in rows),
        notes=[*numbers.notes(config, rows), *_experiments(config)],
        growth=_drawn(growth.charts(report.growth) if report.growth else ()),
        map_side=SIDE,
        made=_made(report),
        toml=config.to_toml().rstrip(),
    )


def _drawn(charts: Sequence[Chart]) -> list[tuple[Chart, Markup]]:
    """Those that have a point, with their SVG."""
    return [(chart, drawn) for chart in charts if (drawn := svg(chart))]


def _facts(report: RunReport) -> list[tuple[str, str]]:
    location, config = report.location, report.location.config
    facts = [
        ("trained on", f"{config.data.dataset} {config.data.protocol or ''}".strip()),
        ("model", f"{config.model.system}, {config.model.network}"),
        ("step", f"{location.step:,} of {config.training.steps:,}"),
    ]
    facts += [("recipe", config.recipe)] if config.recipe else []
    facts += [("parameters", f"{report.parameters:,}")] if report.parameters else []
    best = next((row for row in report.curves.validations if row.is_best), None) if report.curves else None
    facts += [("best validation NLL", f"{fixed(best.nll)} at step {best.step:,}")] if best else []
    return facts


def _made(report: RunReport) -> list[tuple[str, str]]:
    """What stands beside the hashes."""
    location, config, asked = report.location, report.location.config, report.asked
    made = [
        ("weights", f"{location.kind} {location.run}, step {location.step:,}, {asked.weights}"),
        ("started from", config.init or "its own initial weights"),
    ]
    if report.dataset is not None:
        data = report.dataset
        made += [
            ("data", f"{data.name} {data.protocol}: {sizes_in_words(data, 'drawings')}"),
            ("preparation", f"{data.preparation}; {data.binarisation}"),
            ("measured on", f"split {asked.split}, seed {asked.seed}"),
        ]
    return [*made, ("versions", ", ".join(f"{name} {number}" for name, number in versions()))]


def _experiments(config: Config) -> list[str]:
    """Which experiments of the paper are on such data."""
    name = config.data.dataset
    same = [about.id for about in EXPERIMENTS if any(name in data.split() for data in about.data)]
    return [f"Experiments of the paper on {name}, by vma reproduce: {', '.join(same)}."] if same else []
