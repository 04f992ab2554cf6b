"""The report's charts: round ticks, bars as long as their values, letters that stay in the drawing."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ensemble.report.charts.charts import Bars, Chart, Heatmap, Lines, Mark, Series
from ensemble.report.charts.draw import drawing, keys
from ensemble.report.charts.ticks import Axis, digits_of, linear, logarithmic, round_up

finite = st.floats(-1e7, 1e7).map(lambda value: round(value, 6))


def assert_readable(axis: Axis) -> None:
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert all(a < b for a, b in pairwise(axis.ticks))
    assert len(set(axis.labels)) == len(axis.ticks)
    places = [axis.at(tick) for tick in axis.ticks]
    assert all(0 <= a <= b <= 1 for a, b in pairwise(places))


@given(finite, finite, st.integers(2, 10), st.booleans(), st.booleans())
def test_linear_ticks_are_round_even_and_few(a: float, b: float, wanted: int, whole: bool, widen: bool) -> None:
    low, high = min(a, b), max(a, b)
    assume(high - low > 1e-4 or high == low)
    # labels of millions have few digits: neighbours further apart than that are told apart
    assume(max(abs(low), abs(high)) < 1e6)
    axis = linear(low, high, wanted, whole=whole, widen=widen)
    assert_readable(axis)
    assert axis.low <= low
    assert axis.high >= high
    assert len(axis.ticks) <= wanted + 2
    steps = [b - a for a, b in pairwise(axis.ticks)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)
    if widen:
        assert (axis.ticks[0], axis.ticks[-1]) == (axis.low, axis.high)
    if whole:
        assert all(tick == int(tick) for tick in axis.ticks)


@given(st.floats(1e-5, 1e6), st.floats(1, 1e6))
def test_logarithmic_ticks_are_round_and_hold_everything(low: float, factor: float) -> None:
    axis = logarithmic(low, low * factor)
    assert_readable(axis)
    assert axis.low <= low * (1 + 1e-6)
    assert axis.high >= low * factor * (1 - 1e-6)
    assert len(axis.ticks) >= 2
    assert all(f"{tick:e}"[:8] in {"1.000000", "2.000000", "5.000000"} for tick in axis.ticks)


@given(st.floats(1e-9, 1e9))
def test_steps_are_the_smallest_round_ones(value: float) -> None:
    step = round_up(value)
    assert value * (1 - 1e-6) <= step <= 2.5 * value
    assert float(f"{step:.{digits_of(step)}f}") == pytest.approx(step)


def parsed(chart: Chart, width: float) -> ElementTree.Element:
    return ElementTree.fromstring(drawing(chart, width, "key"))


def rects(svg: ElementTree.Element, kind: str) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in svg.iter("rect") if element.get("class") == kind]


def test_bars_are_as_long_as_their_values() -> None:
    chart = Bars("t", "photos", "species", "alt", ["a", "b", "c"], [4.0, 2.0, 0.0])
    widths = [float(bar["width"]) for bar in rects(parsed(chart, 560), "bar")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.02)
    assert widths[2] == 0
    assert [e.text for e in parsed(chart, 560).iter("text") if e.get("class") == "value"] == ["4", "2", "0"]


def test_parts_of_a_bar_follow_each_other() -> None:
    chart = Bars("t", "x", "y", "alt", ["a"], [6.0], stacked={"known": [4.0], "new": [2.0]})
    first, second = rects(parsed(chart, 560), "bar")
    assert float(first["x"]) + float(first["width"]) == pytest.approx(float(second["x"]), abs=0.02)
    assert float(first["width"]) == pytest.approx(2 * float(second["width"]), abs=0.02)
    assert [name for name, _ in keys(chart)] == ["known", "new"]


def test_close_values_with_intervals_are_dots_on_an_axis_of_their_own() -> None:
    close = Bars("t", "MAP@5", "model", "alt", ["a", "b"], [0.81, 0.83], intervals=[(0.8, 0.82), (0.82, 0.84)])
    svg = parsed(close, 560)
    assert not rects(svg, "bar")
    assert sum(e.get("class") == "point" for e in svg.iter()) == 2
    assert sum(e.get("class") == "whisker" for e in svg.iter()) == 6
    far = Bars("t", "gain", "model", "alt", ["a", "b"], [0.01, -0.02], intervals=[(0.0, 0.02), (-0.03, -0.01)])
    assert len(rects(parsed(far, 560), "bar")) == 2


def test_cells_are_as_strong_as_their_values() -> None:
    chart = Heatmap("t", "model", "model", "alt", ["a", "b"], [[1.0, -0.25], [-0.25, 1.0]])
    svg = parsed(chart, 560)
    cells = [e for e in svg.iter("rect") if (e.get("class") or "").split()[:1] == ["cell"]]
    assert [float(cell.get("fill-opacity") or 0) for cell in cells] == [1.0, 0.25, 0.25, 1.0]
    assert [cell.get("class") for cell in cells] == ["cell", "cell negative", "cell negative", "cell"]
    assert [e.text for e in svg.iter("text") if "cell-text" in (e.get("class") or "")] == ["1.00", "-0.25"] * 1 + [
        "-0.25",
        "1.00",
    ]


LONG = "a species with a name that is longer than any species that has ever been described"
CHARTS: list[Any] = [
    Bars("t", LONG, LONG, "alt", [LONG, "b"], [123456.0, 2.0]),
    Bars("t", "x", "y", "alt", [], []),
    Lines("t", LONG, LONG, "alt", [Series(LONG, [0.0, 0.5, 1.0], [0.1, 0.9, 0.3])], [Mark(1.0, LONG), Mark(0.0, LONG)]),
    Lines("t", "x", "y", "alt", [Series("one", [3.0], [4.0])], diagonal=True),
    Lines("t", "x", "y", "alt", []),
    Lines("t", "x", "y", "alt", [Series("s", [1.0, 9.0], [1.0, 1.0], band=([0.5, 0.5], [2.0, 2.0]))], log_x=True),
    Heatmap("t", "x", "y", "alt", [f"{LONG}{i}" for i in range(20)], [[0.5] * 20 for _ in range(20)]),
    Heatmap("t", "x", "y", "alt", [], []),
]


@pytest.mark.parametrize("width", [350.0, 560.0, 860.0])
@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: type(chart).__name__)
def test_everything_stays_in_the_drawing(chart: Chart, width: float) -> None:
    svg = parsed(chart, width)
    _, _, wide, high = map(float, (svg.get("viewBox") or "").split())
    assert wide == width
    for element in svg.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert -0.01 <= float(element.get(key, "0")) <= wide + 0.01, element.attrib
        for key in ("y", "y1", "y2", "cy"):
            assert -0.01 <= float(element.get(key, "0")) <= high + 0.01, element.attrib
        assert "nan" not in " ".join(element.attrib.values()).split()
    for element in svg.iter("text"):
        text = element.text or "".join(child.tail or "" for child in element)
        room, start = 6.0 * len(text), float(element.get("x", "0"))
        anchor = element.get("text-anchor")
        left = start - (room if anchor == "end" else room / 2 if anchor == "middle" else 0)
        if not element.get("transform"):
            assert left >= -14, text
            assert left + room <= wide + 14, text


def tips(chart: Chart) -> list[str | None]:
    """What is shown beside each point when one points at it."""
    svg = parsed(chart, 560)
    return [element.find("title").text for element in svg.iter() if element.get("class") == "point"]  # type: ignore[union-attr]


def test_folds_and_trials_are_no_fractions() -> None:
    folds = [Series("b7", [0, 1], [0.5, 1.0], points=True)]
    assert tips(Lines("t", "fold", "y", "alt", folds, point="fold")) == ["b7, fold 0: 0.5000", "b7, fold 1: 1.0000"]
    trials = [Series("trial", [1], [0.25], points=True, line=False)]
    assert tips(Lines("t", "trial", "y", "alt", trials, point="trial")) == ["trial 1: 0.2500"]
    counts = [Series("individuals", [1, 1234], [60, 1], points=True)]
    assert tips(Lines("t", "photos", "y", "alt", counts)) == ["individuals: 1, 60", "individuals: 1,234, 1"]
    shares = [Series("all", [0.0, 0.25], [0.5, 0.75], points=True)]
    assert tips(Lines("t", "share", "y", "alt", shares)) == ["all: 0.0000, 0.5000", "all: 0.2500, 0.7500"]


def test_a_marks_label_stands_below_where_a_line_passes_above() -> None:
    """Written on a curve, neither the label nor the curve could be read."""

    def height_of_label(level: float) -> float:
        series = [Series("level", [0.0, 1.0], [level, level]), Series("rise", [0.0, 0.01], [0.0, 1.0])]
        text = str(drawing(Lines("t", "x", "y", "alt", series, [Mark(0.5, "chosen")]), 560.0, "k"))
        return float(re.search(r'y="([\d.]+)" class="mark-label"', text)[1])  # type: ignore[index]

    assert height_of_label(0.5) < 60 < 200 < height_of_label(0.97)


def test_points_without_a_line_have_a_key_without_one() -> None:
    series = [Series("best", [0.0, 1.0], [0.0, 1.0]), Series("trial", [0.0, 1.0], [0.0, 1.0], points=True, line=False)]
    line, dots = (str(sample) for _, sample in keys(Lines("t", "x", "y", "alt", series)))
    assert "<line" in line
    assert "<line" not in dots
    assert 'class="point"' in dots
