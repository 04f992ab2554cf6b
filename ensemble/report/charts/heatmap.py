"""A square of values: the more colour, the further from 0."""

from __future__ import annotations

from markupsafe import Markup

from ensemble.report.charts.charts import Heatmap
from ensemble.report.charts.frame import x_name
from ensemble.report.charts.svg import fitting, group, label, tag, width_of
from ensemble.report.numbers import shown

# more labels than this, and the cells hold no numbers
MOST_NUMBERS = 12
# from here on, text on a cell has the other colour: black on the page's blue has a contrast of 4.5 up to there
DARK = 0.93


def draw_heatmap(chart: Heatmap, width: float) -> tuple[float, Markup]:
    """Height and drawing."""
    n = max(len(chart.labels), 1)
    names = min(0.3 * width, 10 + max((width_of(name) for name in chart.labels), default=0.0))
    cell = min((width - names - 8) / n, 54.0)
    top = 28.0
    height = top + n * cell + 44
    # column names stand upright where they fit, else aslant
    aslant = max((width_of(name) for name in chart.labels), default=0.0) > cell - 4
    if aslant:
        height += min(names, 110) * 0.6
    parts = [label(2, 13, fitting(chart.y, width - 4), "name"), x_name(chart.x, max(names + n * cell, 120.0), height)]
    for row, (name, values) in enumerate(zip(chart.labels, chart.values, strict=True)):
        y = top + row * cell
        parts.append(label(names - 6, y + cell / 2 + 4, fitting(name, names - 8), anchor="end"))
        for column, value in enumerate(values):
            x = names + column * cell
            tip = f"{name}, {chart.labels[column]}: {shown(value)}"
            parts.append(_cell(x, y, cell, value, tip, n <= MOST_NUMBERS and cell >= 26))
    for column, name in enumerate(chart.labels):
        x, y = names + (column + 0.5) * cell, top + n * cell + 16
        if aslant:
            cut = fitting(name, 110)
            parts.append(label(x + 4, y - 2, cut, anchor="end", transform=f"rotate(-38 {x + 4:.1f} {y - 2:.1f})"))
        else:
            parts.append(label(x, y, name, anchor="middle"))
    return height, group(*parts)


def _cell(x: float, y: float, size: float, value: float, tip: str, numbered: bool) -> Markup:
    strength = min(abs(value), 1.0)
    body = {"x": x + 1, "y": y + 1, "width": size - 2, "height": size - 2, "fill_opacity": strength}
    ground = {**body, "fill_opacity": 1.0}
    parts = [
        tag("rect", class_="cell-ground", **ground),
        tag("rect", tag("title", tip), class_="cell negative" if value < 0 else "cell", **body),
    ]
    if numbered:
        text = f"{value:.2f}" if size >= 34 else f"{value:.1f}"
        kind = "cell-text strong" if value > DARK else "cell-text"
        parts.append(label(x + size / 2, y + size / 2 + 4, text, kind, "middle"))
    return group(*parts)
