"""Counts between edges, drawn over each other."""

from __future__ import annotations

from itertools import pairwise

from markupsafe import Markup

from ensemble.report.charts.charts import Histogram
from ensemble.report.charts.frame import Frame
from ensemble.report.charts.svg import group, polygon, polyline, tag
from ensemble.report.charts.ticks import Axis, linear, logarithmic
from ensemble.report.numbers import shown


def draw_histogram(chart: Histogram, width: float) -> tuple[float, Markup]:
    """Height and drawing."""
    height = 0.3 * width + 150
    x = linear(chart.edges[0], chart.edges[-1], 4 if width < 480 else 6, widen=False)
    frame = Frame(width, height, x, _counts_axis(chart), chart.x, chart.y)
    parts = [frame.drawn()]
    for k, (name, counts) in enumerate(chart.counts.items()):
        outline = [(frame.at_x(chart.edges[0]), frame.floor)]
        tips = []
        for (low, high), count in zip(pairwise(chart.edges), counts, strict=True):
            left, right, top = frame.at_x(low), frame.at_x(high), frame.at_y(count)
            outline += [(left, top), (right, top)]
            tip = f"{name}, {shown(low)} to {shown(high)}: {shown(count)}"
            body = {"x": left, "y": top, "width": right - left, "height": frame.floor - top}
            tips.append(tag("rect", tag("title", tip), class_="ghost", **body))
        outline.append((frame.at_x(chart.edges[-1]), frame.floor))
        parts.append(group(polygon(outline, "area"), polyline(outline, "line"), *tips, class_=f"s{k % 7}"))
    return height, group(*parts)


def _counts_axis(chart: Histogram) -> Axis:
    every = [count for counts in chart.counts.values() for count in counts]
    positive = [count for count in every if count > 0]
    if chart.log_y and positive:
        # a count of one must stand above the floor
        return logarithmic(min(positive) / 1.9, max(positive))
    return linear(0.0, max(every, default=1.0) or 1.0, whole=all(float(count).is_integer() for count in every))
