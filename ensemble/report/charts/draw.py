"""Charts as inline SVG: for each one a drawing for wide places and one for narrow places, with the same letters."""

from __future__ import annotations

from markupsafe import Markup

from ensemble.report.charts.bars import draw_bars
from ensemble.report.charts.charts import Bars, Chart, Lines
from ensemble.report.charts.heatmap import draw_heatmap
from ensemble.report.charts.lines import draw_lines
from ensemble.report.charts.svg import COLOURS, DASHES, marker, tag

__all__ = ["drawing", "height_of", "keys", "swatch"]


def drawing(chart: Chart, width: float, key: str, class_: str = "") -> Markup:
    """The chart as one `svg` element of a width, in units of the page.

    Parameters
    ----------
    chart : Chart
    width : float
    key : str
        Beginning of the ids on the page that name and describe it.
    class_ : str
        Further classes of the element.
    """
    height, inside = _drawn(chart, width)
    return tag(
        "svg",
        tag("title", chart.title, id=f"{key}-title"),
        tag("desc", chart.alt, id=f"{key}-desc"),
        inside,
        class_=f"chart {class_}".strip(),
        viewBox=f"0 0 {width:g} {height:.0f}",
        role="img",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-desc",
    )


def height_of(chart: Chart, width: float) -> float:
    """How tall the chart is at a width."""
    return _drawn(chart, width)[0]


def _drawn(chart: Chart, width: float) -> tuple[float, Markup]:
    if isinstance(chart, Bars):
        return draw_bars(chart, width)
    return draw_lines(chart, width) if isinstance(chart, Lines) else draw_heatmap(chart, width)


def keys(chart: Chart) -> list[tuple[str, Markup]]:
    """What the colours mean, where there are several: name and swatch."""
    if isinstance(chart, Lines):
        names = [series.name for series in chart.series]
        kinds = ["line" if not series.points else "points" if series.line else "dots" for series in chart.series]
    elif isinstance(chart, Bars) and chart.stacked is not None:
        names = list(chart.stacked)
        kinds = ["bar"] * len(names)
    else:
        return []
    return [(name, swatch(k, kind)) for k, (name, kind) in enumerate(zip(names, kinds, strict=True))]


def swatch(k: int, kind: str) -> Markup:
    """A small sample of a series."""
    if kind in {"line", "points", "dots"}:
        dash = DASHES[k % len(DASHES)]
        parts = (
            []
            if kind == "dots"
            else [tag("line", x1=1.0, y1=6.0, x2=23.0, y2=6.0, class_="line", stroke_dasharray=dash)]
        )
        parts += [] if kind == "line" else [marker(12, 6, k, "", 3.5)]
    else:
        parts = [tag("rect", x=3.0, y=0.0, width=16.0, height=12.0, rx=2.0, class_=kind)]
    inside = tag("g", *parts, class_=f"s{k % COLOURS}")
    return tag("svg", inside, class_="swatch", viewBox="0 0 24 12", aria_hidden="true")
