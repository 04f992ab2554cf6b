"""Horizontal bars, or dots where a bar from zero would hide what is to be seen."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from ensemble.report.charts.charts import Bars
from ensemble.report.charts.frame import x_name, x_ticks
from ensemble.report.charts.svg import fitting, group, label, line, marker, tag, width_of
from ensemble.report.charts.ticks import Axis, linear
from ensemble.report.numbers import shown

ROW = 24.0
TOP = 24.0
BOTTOM = 44.0
# of the width, at most, for the names of the bars
NAMES, NARROW_NAMES = 0.36, 0.43


def draw_bars(chart: Bars, width: float) -> tuple[float, Markup]:
    """Height and drawing."""
    ends = [end for interval in chart.intervals or [] for end in interval]
    dots = _better_as_dots(chart, ends)
    axis = _axis(chart, ends, dots, width)
    left = 10 + min(
        (NARROW_NAMES if width < 480 else NAMES) * width, max((width_of(name) for name in chart.labels), default=0.0)
    )
    values = _texts(chart)
    # the values stand right of the plot
    right = width - 12 - max((width_of(value) for value in values), default=0.0)
    height = TOP + ROW * max(len(chart.labels), 1) + BOTTOM
    floor = height - BOTTOM

    def at(value: float) -> float:
        return left + axis.at(value) * (right - left)

    parts = [label(2, 13, fitting(chart.y, width - 4), "name"), x_name(chart.x, width - 8, height)]
    parts += x_ticks(axis, at, TOP, floor, right)
    for row, (name, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        y = TOP + ROW * (row + 0.5)
        tip = f"{name}: {values[row]}"
        cut = fitting(name, left - 10)
        parts.append(tag("text", tag("title", name), cut, x=left - 8, y=y + 4, class_="tick", text_anchor="end"))
        parts.append(_mark(chart, row, value, y, at, dots, tip))
        parts.append(label(width - 4, y + 4, values[row], "value", "end"))
    if axis.low <= 0 <= axis.high:
        parts.append(line(at(0), TOP, at(0), floor, "axis"))
    return height, group(*parts)


def _texts(chart: Bars) -> list[str]:
    """What stands at the end of each bar: nothing where bars of parts are equally long."""
    if chart.stacked is not None and len(chart.values) > 1 and len(set(chart.values)) == 1:
        return ["" for _ in chart.values]
    whole = all(float(value).is_integer() for value in chart.values)
    return [shown(int(value) if whole else value) for value in chart.values]


def _better_as_dots(chart: Bars, ends: list[float]) -> bool:
    """Whether values with intervals lie so close together that bars from zero would all look alike."""
    return bool(ends) and chart.stacked is None and min(*ends, *chart.values) > 0.4 * max(*ends, *chart.values)


def _axis(chart: Bars, ends: list[float], dots: bool, width: float) -> Axis:
    every = [*chart.values, *ends] or [0.0, 1.0]
    wanted = 4 if width < 480 else 6
    if dots:
        return linear(min(every), max(every), wanted)
    return linear(min(0.0, *every), max(0.0, *every), wanted, whole=all(float(v).is_integer() for v in every))


def _mark(chart: Bars, row: int, value: float, y: float, at: Callable[[float], float], dots: bool, tip: str) -> Markup:
    colour = "s1" if row in chart.highlight else "s0"
    parts: list[Markup] = []
    if chart.stacked is not None:
        done = 0.0
        for k, (name, amounts) in enumerate(chart.stacked.items()):
            part = f"{chart.labels[row]}, {name}: {_amount(amounts[row])}"
            parts.append(group(_bar(at(done), at(done + amounts[row]), y, part), class_=f"s{k % 7}"))
            done += amounts[row]
    elif not dots:
        parts.append(_bar(at(0), at(value), y, tip))
    if chart.intervals is not None:
        low, high = chart.intervals[row]
        parts.append(line(at(low), y, at(high), y, "whisker"))
        parts += [line(at(end), y - 4, at(end), y + 4, "whisker") for end in (low, high)]
    if dots:
        parts.append(marker(at(value), y, 1 if row in chart.highlight else 0, tip, 4.5))
    return group(*parts, class_=colour)


def _bar(start: float, end: float, y: float, tip: str) -> Markup:
    low, high = min(start, end), max(start, end)
    return tag("rect", tag("title", tip), x=low, y=y - 8, width=high - low, height=16.0, rx=1.5, class_="bar")


def _amount(value: float) -> str:
    return shown(int(value) if float(value).is_integer() else value)
