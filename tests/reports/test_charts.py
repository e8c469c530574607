"""Charts: where their points stand, and what of them is drawn."""

from __future__ import annotations

import math

import pytest

from tests.reports.parsed import Element, parse
from vmacore.reports.charts import BOTTOM, HEIGHT, LEFT, LONGEST, RIGHT, TOP, WIDTH, Chart, Line, short, svg


def drawn(*lines: Line, **how: object) -> Element:
    return parse(svg(Chart("A <title>", "steps", "nats", lines, **how)))  # type: ignore[arg-type]


def points_of(line: Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, _, y in (point.partition(",") for point in line["points"].split())]


def test_points_lie_between_the_axes() -> None:
    chart = drawn(Line("a & b", [(0, 0), (5, 10), (10, 20)]))
    points = points_of(chart.one("polyline"))
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    assert points == [(LEFT, HEIGHT - BOTTOM), middle, (WIDTH - RIGHT, TOP)]
    assert [tick.text for tick in chart.all("text", class_="up")] == ["0", "5", "10", "15", "20"]
    assert [tick.text for tick in chart.all("text", class_="across")] == ["0", "2", "4", "6", "8", "10"]
    assert chart.one("svg", role="img")["aria-label"] == "A <title>: nats against steps"
    assert chart.one("li").text == "a & b"


def test_a_doubling_axis_has_a_tick_at_each_place() -> None:
    chart = drawn(Line("a", [(1, 1), (2, 1.5), (4, 2), (48, 3)], dots=True), doubling=True)
    xs = [x for x, _ in points_of(chart.one("polyline"))]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)
    assert [tick.text for tick in chart.all("text", class_="across")] == ["1", "2", "4", "48"]
    assert len(chart.all("circle", class_="dot")) == 5  # one of them in the legend


def test_what_is_no_number_is_left_out() -> None:
    nan = math.nan
    chart = drawn(Line("a", [(0, nan), (1, 1), (2, 3), (3, math.inf)]), Line("b", [(0, nan)], style=1))
    assert [len(points_of(line)) for line in chart.all("polyline")] == [2]
    assert [item.text for item in chart.all("li")] == ["a"]
    assert svg(Chart("none", "x", "y", [Line("a", []), Line("b", [(0, nan)])])) == ""
    assert len(points_of(drawn(Line("a", [(3, 3)])).one("polyline"))) == 1


def test_the_top_can_be_lower_than_a_point() -> None:
    chart = drawn(Line("a", [(0, 1000), (1, 10), (2, 0)], errors=(5, 1, 1), mark=(1, 10)), top=10)
    first, second, _ = (y for _, y in points_of(chart.one("polyline")))
    assert first < 0  # outside: the inner frame cuts it off
    assert TOP <= second < HEIGHT
    assert chart.all("text", class_="up")[-1].text == "10"
    assert len(chart.all("path", class_="bar")) == 3
    (mark,) = chart.all("circle", class_="mark")
    assert float(mark["cy"]) == second
    assert chart.all("text", class_="up")[0].text == "−2.5"


def test_long_lines_are_thinned() -> None:
    chart = drawn(Line("a", [(x, 2.0 * x) for x in range(1000)]))
    points = points_of(chart.one("polyline"))
    assert LONGEST / 2 < len(points) <= LONGEST
    slopes = {round((points[0][1] - y) / (x - points[0][0]), 2) for x, y in points[9:]}
    assert len(slopes) <= 2  # a straight line stays one


def test_numbers_on_axes() -> None:
    assert [short(value) for value in (0.5, -20, 9999, 20_000, 1.5e6)] == ["0.5", "−20", "9999", "20k", "1500k"]
