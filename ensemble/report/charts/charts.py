"""Charts as plain data: what is drawn, in words and numbers; how it is drawn is `ensemble.report.charts.draw`'s."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cv.errors import FinblendError


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, one a label, first on top.

    Attributes
    ----------
    title : str
        Says the finding.
    x, y : str
        Names of the axes, with units.
    alt : str
        The chart in one or two sentences with its figures, for whoever does not see it.
    labels : list of str
    values : list of float
        One a label; the totals where bars are stacked.
    intervals : list of (float, float), optional
        Low and high end of each value's error bar.
    highlight : list of int
        Positions of bars in the second colour.
    stacked : dict of str to list of float, optional
        Parts of the bars, none of them negative.
    """

    title: str
    x: str
    y: str
    alt: str
    labels: list[str]
    values: list[float]
    intervals: list[tuple[float, float]] | None = None
    highlight: list[int] = field(default_factory=list)
    stacked: dict[str, list[float]] | None = None

    def __post_init__(self) -> None:
        _same_length(self.title, len(self.labels), values=self.values, **(self.stacked or {}))
        if self.intervals is not None:
            _same_length(self.title, len(self.labels), intervals=self.intervals)
        _finite(self.title, self.values)


@dataclass(frozen=True)
class Series:
    """One line: points from left to right, and a band around it where there is one; without `line` points alone.

    Whole numbers are given as int: a fold is 0, not 0.0000, to whoever points at it.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[list[float], list[float]] | None = None
    points: bool = False
    line: bool = True

    def __post_init__(self) -> None:
        low, high = self.band or (self.y, self.y)
        _same_length(self.name, len(self.x), y=self.y, low=low, high=high)
        _finite(self.name, self.x, self.y, low, high)


@dataclass(frozen=True)
class Mark:
    """A vertical line with a label."""

    x: float
    label: str


@dataclass(frozen=True)
class Lines:
    """Lines or points over a number; `diagonal` draws y = x, where a well calibrated answer lies.

    `point` is what x counts, in a word for whoever points at a point: "fold", "trial".
    """

    title: str
    x: str
    y: str
    alt: str
    series: list[Series]
    marks: list[Mark] = field(default_factory=list)
    diagonal: bool = False
    log_x: bool = False
    log_y: bool = False
    point: str = ""


@dataclass(frozen=True)
class Heatmap:
    """A square of values in [0, 1], or in [-1, 1] where one is negative; numbers in the cells of small ones."""

    title: str
    x: str
    y: str
    alt: str
    labels: list[str]
    values: list[list[float]]

    def __post_init__(self) -> None:
        rows = {f"row {i + 1}": row for i, row in enumerate(self.values)}
        _same_length(self.title, len(self.labels), values=self.values, **rows)
        if any(abs(value) > 1 + 1e-9 for row in self.values for value in row):
            raise FinblendError(f"{self.title}: a heatmap's values must be in [-1, 1]")


Chart = Bars | Lines | Heatmap


def _same_length(title: str, wanted: int, **lists: Sequence[object]) -> None:
    for name, values in lists.items():
        if len(values) != wanted:
            raise FinblendError(f"{title}: {name} must have {wanted} values, but got {len(values)}")


def _finite(title: str, *lists: Iterable[float]) -> None:
    for values in lists:
        for value in values:
            if not math.isfinite(value):
                raise FinblendError(f"{title}: values must be finite, but got {value}")
