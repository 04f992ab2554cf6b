"""From pieces to HTML: one page in one file, which may load nothing and run no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ensemble.report.charts import Bars, Chart, Heatmap, Histogram, Lines
from ensemble.report.draw import drawing, keys
from ensemble.report.draw.svg import clean
from ensemble.report.numbers import numeric, shown

if TYPE_CHECKING:
    from jinja2 import Template

    from ensemble.report.page import Cell, Section, Table

CHARTS = (Bars, Lines, Histogram, Heatmap)
# in units of the page: beside another chart, alone in its row, on a narrow screen
BESIDE, ALONE, NARROW = 560.0, 860.0, 350.0


def page(title: str, sections: list[Section], subtitle: str = "") -> str:
    """The whole page."""
    style, script = asset("page.css"), asset("page.js")
    return template().render(
        title=clean(title),
        subtitle=clean(subtitle),
        sections=[(section, list(_blocks(section))) for section in sections],
        style=Markup(style),  # noqa: S704 - the package's own file
        script=Markup(script),  # noqa: S704
        policy=f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )


@cache
def template() -> Template:
    """The page's template; whatever comes from data is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ensemble.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else clean(value),
    )
    environment.globals.update(columns=columns, shown_cell=shown_cell, sort_key=sort_key, keys=keys)
    return environment.get_template("page.html.j2")


def asset(name: str) -> str:
    """A file of the template's folder."""
    return (files("ensemble.report") / "template" / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """The hash by which the page's policy allows this one text and no other."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _blocks(section: Section) -> Iterator[tuple[str, Any]]:
    """The pieces with their kinds; charts that follow each other are one block, side by side."""
    number = 0
    for is_chart, pieces in groupby(section.body, key=lambda piece: isinstance(piece, CHARTS)):
        if not is_chart:
            for piece in pieces:
                number += 1
                yield type(piece).__name__.lower(), (f"{section.key}-{number}", piece)
            continue
        charts: list[Any] = list(pieces)
        drawn = []
        for at, chart in enumerate(charts):
            number += 1
            last_alone = at == len(charts) - 1 and len(charts) % 2 == 1
            drawn.append((chart, *_drawings(chart, f"{section.key}-{number}", ALONE if last_alone else BESIDE)))
        yield "charts", drawn


def _drawings(chart: Chart, key: str, width: float) -> tuple[Markup, Markup]:
    return drawing(chart, width, f"{key}-wide", "wide"), drawing(chart, NARROW, f"{key}-narrow", "narrow")


def columns(table: Table) -> list[bool]:
    """Which columns hold numbers only: they stand right."""
    found = []
    for column in range(len(table.header)):
        cells = [row[column] for row in table.rows if row[column] not in (None, "-", "")]
        found.append(bool(cells) and all(numeric(cell) is not None for cell in cells))
    return found


def shown_cell(table: Table, column: int, cell: Cell) -> str:
    """A cell's text."""
    if table.header[column] in table.shares and isinstance(cell, (int, float)):
        return f"{100 * cell:.1f} %"
    return shown(cell)


def sort_key(cell: Cell) -> str | None:
    """What a number is sorted by, where its text would not tell."""
    value = numeric(cell)
    return None if value is None else repr(value)

