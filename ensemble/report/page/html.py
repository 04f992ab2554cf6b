"""From pieces to HTML: one page in one file, which may load nothing and run no script but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from ensemble.report.charts.charts import Bars, Chart, Heatmap, Lines
from ensemble.report.charts.draw import drawing, height_of, keys
from ensemble.report.charts.svg import clean
from ensemble.report.numbers import numeric, shown
from ensemble.report.page import marks
from ensemble.report.page.pieces import Cell, Piece, Section, Table

if TYPE_CHECKING:
    from jinja2 import Template

_PERCENT = re.compile(r"(?<=\d) %")
CHARTS = (Bars, Lines, Heatmap)
# in units of the page: beside another chart, alone in its row, on a narrow screen
BESIDE, ALONE, NARROW = 560.0, 1000.0, 350.0
# a chart as tall as two
TALL = 470.0


def render(title: str, sections: list[Section], subtitle: str = "") -> str:
    """The whole page, self-contained: no file beside it and no network."""
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
        finalize=_text,
    )
    environment.globals.update(
        breakable=breakable,
        verbatim=verbatim,
        columns=columns,
        is_slim=is_slim,
        shown_cell=shown_cell,
        sort_key=sort_key,
        keys=keys,
        photo=marks.photo,
        pair=marks.pair,
    )
    return environment.get_template("page.html.j2")


def _text(value: Any) -> Any:
    """Text as it is shown: without control characters, and no line breaks between a number and its %."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _PERCENT.sub("\N{NO-BREAK SPACE}%", clean(value))


def breakable(text: Any) -> Markup:
    """Text whose long names may be broken where people would break them; what is copied stays as it is."""
    return Markup(re.sub(r"(?<=[_/:])(?=\w)", "<wbr>", str(verbatim(text))))  # noqa: S704 - escaped there


def verbatim(text: Any) -> Markup:
    """Text that may be copied: nothing but control characters is changed."""
    return escape(clean(str(text)))


def asset(name: str) -> str:
    """A file of the template's folder."""
    return (files("ensemble.report") / "template" / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """The hash by which the page's policy allows this one text and no other."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _blocks(section: Section) -> Iterator[tuple[str, Any]]:
    """The pieces with their kinds; charts that follow each other are one block, side by side."""
    numbered = enumerate(section.body, start=1)
    for kind, pieces in groupby(numbered, key=lambda item: _kind(item[1])):
        if kind == "charts":
            yield kind, list(_laid_out([(f"{section.key}-{n}", chart) for n, chart in pieces]))
        elif kind == "table":
            yield "tables", [(f"{section.key}-{n}", table) for n, table in pieces]
        else:
            for n, piece in pieces:
                yield kind, (f"{section.key}-{n}", piece)


def _kind(piece: Piece) -> str:
    return "charts" if isinstance(piece, CHARTS) else type(piece).__name__.lower()


def _laid_out(charts: list[tuple[str, Any]]) -> Iterator[tuple[Chart, str, Markup, Markup]]:
    """Charts two in a row, tall ones beside two others, one that is left over in a row of its own."""
    tall = [height_of(chart, BESIDE) > TALL and len(charts) > 2 for _, chart in charts]
    odd = (len(charts) + sum(tall)) % 2 == 1 and not tall[-1]
    for at, (key, chart) in enumerate(charts):
        alone = odd and at == len(charts) - 1
        wide = drawing(chart, ALONE if alone else BESIDE, f"{key}-wide", "wide")
        narrow = drawing(chart, NARROW, f"{key}-narrow", "narrow")
        yield chart, "tall" if tall[at] else "alone" if alone else "", wide, narrow


def columns(table: Table) -> list[bool]:
    """Which columns hold numbers only: they stand right."""
    are_numbers = []
    for column in range(len(table.header)):
        cells = [row[column] for row in table.rows if row[column] not in (None, "-", "")]
        are_numbers.append(bool(cells) and all(numeric(cell) is not None for cell in cells))
    return are_numbers


def is_slim(table: Table) -> bool:
    """Whether a table would look lost over the whole width."""
    wide = max((len(str(cell)) for row in table.rows for cell in row), default=0)
    return len(table.header) < 4 and wide <= 48


def shown_cell(table: Table, column: int, cell: Cell) -> str:
    """A cell's text."""
    if table.header[column] in table.shares and isinstance(cell, (int, float)):
        return f"{100 * cell:.{_share_digits(table, column)}f}\N{NO-BREAK SPACE}%"
    return shown(cell)


def _share_digits(table: Table, column: int) -> int:
    """One, or more where every share of the column would be about 0.0 %."""
    largest = max((abs(row[column]) for row in table.rows if isinstance(row[column], (int, float))), default=1.0)  # type: ignore[arg-type]
    return 1 if largest >= 0.01 or largest == 0 else 2 if largest >= 0.001 else 3


def sort_key(cell: Cell) -> str | None:
    """What a number is sorted by, where its text would not tell."""
    value = numeric(cell)
    return None if value is None else repr(value)
