"""Lines and points over a number."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from ensemble.report.charts.charts import Lines, Series
from ensemble.report.charts.frame import TOP, Frame
from ensemble.report.charts.svg import DASHES, fitting, group, line, marker, polygon, polyline, tag, width_of
from ensemble.report.charts.ticks import Axis, linear, logarithmic
from ensemble.report.numbers import shown

# more points than this are a line, whatever was asked for
MOST_POINTS = 60


def draw_lines(chart: Lines, width: float) -> tuple[float, Markup]:
    """Height and drawing; a diagonal makes the plot about square."""
    height = min(width, 440.0) if chart.diagonal else min(0.3 * width + 150, 340.0)
    across = [value for series in chart.series for value in series.x] + [mark.x for mark in chart.marks]
    up = [v for series in chart.series for v in (*series.y, *(end for ends in series.band or () for end in ends))]
    steps = 4 if width < 480 else 6
    if chart.diagonal:
        # one stretch on both axes, so that y = x goes from corner to corner
        both = linear(min(across + up, default=0.0), max(across + up, default=1.0))
        frame = Frame(width, height, both, both, chart.x, chart.y)
    else:
        x_axis, y_axis = _axis(across, chart.log_x, steps, True), _axis(up, chart.log_y, 5, False)
        frame = Frame(width, height, x_axis, y_axis, chart.x, chart.y)
    parts = [frame.drawn()]
    if chart.diagonal:
        low, high = max(frame.x.low, frame.y.low), min(frame.x.high, frame.y.high)
        if low < high:
            parts.append(line(frame.at_x(low), frame.at_y(low), frame.at_x(high), frame.at_y(high), "diagonal"))
    parts += [_band(series, k, frame) for k, series in enumerate(chart.series) if series.band is not None]
    parts += [_line(series, k, frame, chart.point) for k, series in enumerate(chart.series)]
    parts += _marks(chart, frame)
    return height, group(*parts)


def _axis(values: list[float], log: bool, steps: int, tight: bool) -> Axis:
    positive = [value for value in values if value > 0]
    if log and positive:
        return logarithmic(min(positive), max(positive))
    low, high = min(values, default=0.0), max(values, default=1.0)
    return linear(low, high, steps, widen=not tight or low == high, whole=bool(values) and _whole(values))


def _whole(values: list[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def _band(series: Series, k: int, frame: Frame) -> Markup:
    low, high = series.band or (series.y, series.y)
    upper = [(frame.at_x(x), frame.at_y(y)) for x, y in zip(series.x, high, strict=True)]
    lower = [(frame.at_x(x), frame.at_y(y)) for x, y in zip(series.x, low, strict=True)]
    return group(polygon(upper + lower[::-1], "band"), class_=f"s{k % 7}")


def _line(series: Series, k: int, frame: Frame, point: str) -> Markup:
    points = [(frame.at_x(x), frame.at_y(y)) for x, y in zip(series.x, series.y, strict=True)]
    joined = len(points) > 1 and series.line
    parts = [polyline(points, "line", DASHES[k % len(DASHES)])] if joined else []
    few = len(points) <= MOST_POINTS
    if (series.points and few) or not joined:
        tips = [_tip(series.name, point, x, y) for x, y in zip(series.x, series.y, strict=True)]
        parts += [marker(x, y, k, tip, 3.5 if few else 2.0) for (x, y), tip in zip(points, tips, strict=True)]
    return group(*parts, class_=f"s{k % 7}") if parts else Markup("")


def _tip(series: str, point: str, x: float, y: float) -> str:
    """What stands beside a point when one points at it.

    >>> _tip("b7", "fold", 0, 0.5), _tip("trial", "trial", 1, 0.5), _tip("known", "", 0.25, 0.5)
    ('b7, fold 0: 0.5000', 'trial 1: 0.5000', 'known: 0.2500, 0.5000')
    """
    if not point:
        return f"{series}: {shown(x)}, {shown(y)}"
    place = f"{point} {shown(x)}"
    return f"{place}: {shown(y)}" if series == point else f"{series}, {place}: {shown(y)}"


def _marks(chart: Lines, frame: Frame) -> list[Markup]:
    parts: list[Markup] = []
    for k, mark in enumerate(sorted(chart.marks, key=lambda mark: mark.x)):
        x, down = frame.at_x(mark.x), 15 * (k % 4)
        text = fitting(mark.label, frame.width - frame.left - 24)
        parts.append(line(x, TOP, x, frame.floor, "mark"))
        # the label stands where there is room for it
        fits = x + 6 + width_of(text) < frame.width - 4
        room = x - 6 - width_of(text) > frame.left
        end = not fits and room
        start = x + 6 if fits else x - 6 if end else max(frame.width - 4 - width_of(text), frame.left)
        left = start - width_of(text) if end else start
        high = _is_free(chart, frame, (left, left + width_of(text)), TOP + down - 4, TOP + down + 18)
        y = TOP + 12 + down if high else frame.floor - 10 - down
        parts.append(tag("text", text, x=start, y=y, class_="mark-label", text_anchor="end" if end else "start"))
    return parts


def _is_free(chart: Lines, frame: Frame, across: tuple[float, float], top: float, bottom: float) -> bool:
    """Whether no series passes through a place of the drawing."""
    for series in chart.series:
        x = np.array([frame.at_x(value) for value in series.x])
        y = np.array([frame.at_y(value) for value in series.y])
        if not len(x):
            continue
        at = np.linspace(*across, 16)
        at = at[(at >= x[0]) & (at <= x[-1])]
        heights = np.append(np.interp(at, x, y), y[(x >= across[0]) & (x <= across[1])])
        if np.any((heights > top) & (heights < bottom)):
            return False
    return True
