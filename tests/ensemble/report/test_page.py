"""The report's page: what is in it, that it loads nothing, that names are text whatever they are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import Small

from cv.errors import FinblendError
from ensemble import init, register, submit, tune, write_report
from ensemble.report.charts.charts import Bars, Heatmap, Lines, Mark, Series
from ensemble.report.numbers import numeric, shown
from ensemble.report.page.html import breakable, columns, render, shown_cell, sort_key
from ensemble.report.page.photos import GalleryRow, Shot
from ensemble.report.page.pieces import Code, Figures, Gallery, Section, Table, Text, Warnings

EVIL = "<script>alert(1)</script>"
LOADING = {"src", "href", "srcset", "action", "data", "poster", "formaction", "xlink:href", "background", "cite"}


class Page(HTMLParser):
    """Everything of a page that a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def drawings(text: str) -> list[ElementTree.Element]:
    """Every chart of a page, parsed as XML."""
    found = re.findall(r'<svg class="chart.*?</svg>', text, flags=re.DOTALL)
    return [ElementTree.fromstring(svg) for svg in found]


def assert_alone(text: str) -> None:
    """Nothing in the page refers to anything outside it."""
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "base", "video", "audio", "use", "image"}
        for name in LOADING & attributes.keys():
            assert (attributes[name] or "").startswith(("#", "data:")), (tag, name, attributes[name])
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "style" not in attributes, (tag, attributes)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    assert len(page.all("script")) == 1
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def assert_described(text: str) -> None:
    """Every drawing is well-formed XML with a name and a description, and ids are there once."""
    ids = [attributes["id"] for _, attributes in Page(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in drawings(text):
        told = {child.get("id"): child.text for child in svg}
        assert svg.get("role") == "img"
        assert told[svg.get("aria-labelledby")]
        assert told[svg.get("aria-describedby")]


def every_piece(name: str) -> list[Any]:
    """One of each, called by a name."""
    shot = Shot(name, None, [name])
    return [
        Text(name),
        Figures([(name, name)]),
        Table(name, [name, "n"], [[name, 1.0], [None, 2.0]], name),
        Warnings([name]),
        Code(name),
        Gallery([GalleryRow(shot, [shot], name)]),
        Bars(name, name, name, name, [name, "b"], [1.0, 2.0], stacked={name: [1.0, 2.0]}),
        Bars(name, name, name, name, [name, "b"], [0.8, 0.9], intervals=[(0.7, 0.85), (0.8, 0.95)], highlight=[1]),
        Lines(
            name, name, name, name, [Series(name, [0.0, 1.0], [0.0, 1.0])], [Mark(0.5, name)], diagonal=True, point=name
        ),
        Heatmap(name, name, name, name, [name, "b"], [[1.0, -0.2], [-0.2, 1.0]]),
    ]


# characters that no XML may hold are among them
@pytest.mark.parametrize("name", [EVIL, '"><img src=x onerror=alert(1)>', "a & b < c", "\x00\x1b\ud800", "{{ 7 * 7 }}"])
def test_names_are_text_everywhere(name: str) -> None:
    text = render(name, [Section("key", name, name, every_piece(name))], name)
    plain = Page(render("n", [Section("key", "n", "n", every_piece("n"))], "n"))
    # names may be broken behind a / or a _
    assert [tag for tag, _ in Page(text).tags if tag != "wbr"] == [tag for tag, _ in plain.tags]
    assert "{{" not in name or text.count("{{ 7 * 7 }}") > 20
    assert len(drawings(text)) == 8
    assert_alone(text)
    assert_described(text)
    text.encode("utf-8")


def test_a_species_called_script_is_text(tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    table = pl.read_csv(small.train_csv).with_columns(pl.col("species").replace({"beluga": EVIL}))
    table = table.with_columns(pl.col("individual_id").replace({"id00": "<b>bold</b>"}))
    table.write_csv(small.train_csv)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    write_report(tmp_path / "P", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>bold" not in text
    assert_alone(text)
    assert_described(text)


def test_the_page_grows_with_the_project(small: Small, tmp_path: Path) -> None:
    project = tmp_path / "P"

    def keys() -> list[str]:
        found = write_report(project, tmp_path / "r.html")
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        sections = [a["id"] for a in Page(text).all("section")]
        assert sections == found["sections"]
        assert [a["href"] for a in Page(text).all("a")][2:] == [f"#{key}" for key in sections]
        assert found["bytes"] == (tmp_path / "r.html").stat().st_size < 1_000_000
        assert text.count("How it is measured.") == len(sections)
        assert_alone(text)
        assert_described(text)
        assert all(len(list(svg.iter())) > 10 for svg in drawings(text))
        return [str(key) for key in sections]

    init(project, train=small.train_csv, test=small.sample_csv)
    assert keys() == ["catalogue", "provenance"]
    for i in range(2):
        path = small.write_npz(f"m{i}.npz", *small.noisy(i + 1, 1.0 + i))
        register(project, f"m{i}", frozen=True, train=path, test=path)
    registered = keys()
    assert registered[0] == "catalogue"
    assert registered[-1] == "provenance"
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    tuned = keys()
    assert set(registered) <= set(tuned)
    submit(project, tmp_path / "out.csv")
    assert keys() == tuned


def test_what_may_be_copied_is_as_it_was() -> None:
    line = "cd '/data/50 % sample' # <b> & a_b"
    page = render("t", [Section("key", "t", "50 % of it", [Code(line)])])
    assert "cd &#39;/data/50 % sample&#39; # &lt;b&gt; &amp; a_b</code>" in page
    assert "50\N{NO-BREAK SPACE}% of it" in page
    assert str(breakable("50 % a_b/c <i>")) == "50 % a_<wbr>b/<wbr>c &lt;i&gt;"


def test_cells_are_shown_and_sorted_by_what_they_are() -> None:
    rows: list[list[Any]] = [["b7", 1234, 0.5, "11.2 %", None], ["a", 5, 0.25, "9.0 %", "-"]]
    table = Table("t", ["model", "n", "score", "written", "nothing"], rows, shares=("score",))
    assert columns(table) == [False, True, True, True, False]
    assert [shown_cell(table, i, cell) for i, cell in enumerate(rows[0])] == [
        "b7",
        "1,234",
        "50.0\N{NO-BREAK SPACE}%",
        "11.2 %",
        "-",
    ]
    # shares that would all be 0.0 % have more digits
    few = Table("t", ["share"], [[0.00067], [0.0004]], shares=("share",))
    assert [shown_cell(few, 0, row[0]) for row in few.rows] == ["0.067\N{NO-BREAK SPACE}%", "0.040\N{NO-BREAK SPACE}%"]
    assert [sort_key(cell) for cell in rows[0]] == [None, "1234.0", "0.5", "11.2", None]


@given(st.integers(-(10**12), 10**12) | st.floats(-1e9, 1e9))
def test_a_number_that_is_shown_reads_back(value: float) -> None:
    back = numeric(shown(value))
    assert back is not None
    assert abs(back - value) <= 0.051


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Table("t", ["a"], [[1, 2]]), "t: a row must have 1 cells, but got 2"),
        (lambda: Table("t", ["a"], [[1]], shares=("b",)), "t: no column 'b'"),
        (lambda: Bars("t", "x", "y", "", ["a"], [1.0, 2.0]), "t: values must have 1 values, but got 2"),
        (lambda: Bars("t", "x", "y", "", ["a"], [float("nan")]), "t: values must be finite, but got nan"),
        (lambda: Series("s", [1.0], [1.0], band=([1.0], [])), "s: high must have 1 values, but got 0"),
        (lambda: Heatmap("t", "x", "y", "", ["a"], [[1.5]]), "must be in [-1, 1]"),
    ],
)
def test_wrong_pieces_are_refused(make: Any, said: str) -> None:
    with pytest.raises(FinblendError, match=re.escape(said)):
        make()
