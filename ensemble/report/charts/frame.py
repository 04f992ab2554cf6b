"""The frame that charts over two axes share: gridlines, ticks, the axes' names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from ensemble.report.charts.svg import fitting, group, label, line, width_of
from ensemble.report.charts.ticks import Axis

BOTTOM = 44.0
TOP = 30.0
RIGHT = 14.0


@dataclass(frozen=True)
class Frame:
    """Where two axes lie on a drawing of some width and height."""

    width: float
    height: float
    x: Axis
    y: Axis
    x_name: str
    y_name: str

    @property
    def left(self) -> float:
        """Where the plot begins: right of the widest tick label."""
        return 14.0 + max(width_of(text) for text in self.y.labels)

    def at_x(self, value: float) -> float:
        """Across the drawing."""
        return self.left + self.x.at(value) * (self.width - RIGHT - self.left)

    def at_y(self, value: float) -> float:
        """Down the drawing."""
        return self.height - BOTTOM - self.y.at(value) * (self.height - BOTTOM - TOP)

    @property
    def floor(self) -> float:
        """The lower edge of the plot."""
        return self.height - BOTTOM

    def drawn(self) -> Markup:
        """Gridlines, labels, names."""
        right, parts = self.width - RIGHT, []
        for tick, text in zip(self.y.ticks, self.y.labels, strict=True):
            y = self.at_y(tick)
            parts += [line(self.left, y, right, y, "grid"), label(self.left - 7, y + 4, text, anchor="end")]
        parts += x_ticks(self.x, self.at_x, TOP, self.floor, right)
        parts.append(line(self.left, self.floor, right, self.floor, "axis"))
        parts.append(label(2, 13, fitting(self.y_name, self.width - 4), "name"))
        parts.append(x_name(self.x_name, right, self.height))
        return group(*parts, class_="frame")


def x_ticks(axis: Axis, at: Callable[[float], float], top: float, floor: float, right: float) -> list[Markup]:
    """Vertical gridlines with labels below; labels that would touch the one before are left out."""
    parts: list[Markup] = []
    free = float("-inf")
    for tick, text in zip(axis.ticks, axis.labels, strict=True):
        x, half = at(tick), width_of(text) / 2
        parts.append(line(x, top, x, floor, "grid faint"))
        if x - half >= free:
            # the last label must not stick out of the drawing
            parts.append(label(min(x, right + 12 - half), floor + 17, text, anchor="middle"))
            free = x + half + 6
    return parts


def x_name(name: str, right: float, height: float) -> Markup:
    """The name of the x axis, under its ticks, at the right end where arrows point."""
    return label(right, height - 6, fitting(name, right - 4), "name", "end")
