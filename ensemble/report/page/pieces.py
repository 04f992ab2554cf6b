"""The page: sections made of pieces, which are plain data; nothing here is HTML until `render`."""

from __future__ import annotations

from dataclasses import dataclass

from cv.errors import FinblendError
from ensemble.report.charts.charts import Bars, Heatmap, Lines
from ensemble.report.page.photos import GalleryRow

Cell = str | float | int | None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Figures:
    """Headline figures: what and how much."""

    pairs: list[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table that a click sorts.

    Attributes
    ----------
    caption : str
    header : list of str
    rows : list of list of str, float, int or None
        Scores are shown with four digits, counts with thousands separators, None as '-'.
    note : str
        What is left out, or how to read it.
    shares : list of str
        Columns of the header whose numbers are shown as %.
    """

    caption: str
    header: list[str]
    rows: list[list[Cell]]
    note: str = ""
    shares: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise FinblendError(f"{self.caption}: a row must have {len(self.header)} cells, but got {len(row)}")
        for name in self.shares:
            if name not in self.header:
                raise FinblendError(f"{self.caption}: no column '{name}' to show as a share")


@dataclass(frozen=True)
class Warnings:
    """What to be careful with."""

    lines: list[str]


@dataclass(frozen=True)
class Code:
    """Text to be copied."""

    text: str


@dataclass(frozen=True)
class Gallery:
    """Photos side by side, a query and its candidates in each row."""

    rows: list[GalleryRow]
    caption: str = ""


Piece = Text | Figures | Table | Warnings | Code | Gallery | Bars | Lines | Heatmap


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    key : str
        Its anchor.
    title : str
    measured : str
        One sentence that says how the section's figures were measured.
    body : list of Piece
    """

    key: str
    title: str
    measured: str
    body: list[Piece]
