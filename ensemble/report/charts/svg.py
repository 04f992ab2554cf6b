"""Pieces of SVG: text is escaped, colours come from the page's style through classes."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# what XML 1.0 cannot hold, escaped or not
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# width of a letter of the size 12: an estimate, since nothing here knows the reader's font
LETTER = 6.3
MARKERS = ("circle", "square", "diamond", "triangle")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
COLOURS = 7


def clean(text: str) -> str:
    """The text with what no page can show replaced by the sign for it."""
    return FORBIDDEN.sub("\ufffd", text)


def tag(name: str, *children: Markup | str, **attributes: str | float | None) -> Markup:
    """An element; children that are plain text are escaped, attributes always.

    >>> tag("text", "a < b", class_="tick", x=1.25)
    Markup('<text class="tick" x="1.25">a &lt; b</text>')
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(
        child if isinstance(child, Markup) else escape(clean(child)) for child in children if child is not None
    )
    if not children:
        return Markup("<{}{}/>").format(name, written)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inside)


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return clean(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")


def group(*children: Markup, class_: str = "") -> Markup:
    """Several elements as one."""
    return tag("g", *children, class_=class_ or None)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def label(x: float, y: float, text: str, class_: str = "tick", anchor: str = "start", **more: str) -> Markup:
    """Text that stands on y."""
    return tag("text", text, x=x, y=y, class_=class_, text_anchor=anchor, **more)


def polyline(points: list[tuple[float, float]], class_: str, dash: str = "") -> Markup:
    """A line through points."""
    return tag("polyline", points=_points(points), class_=class_, stroke_dasharray=dash or None)


def polygon(points: list[tuple[float, float]], class_: str) -> Markup:
    """A filled outline."""
    return tag("polygon", points=_points(points), class_=class_)


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{_value(x)},{_value(y)}" for x, y in points)


def marker(x: float, y: float, kind: int, tip: str, size: float = 4.0) -> Markup:
    """A point; its shape goes with its series, so that colour is not all that tells them apart."""
    title, shape = tag("title", tip), MARKERS[kind % len(MARKERS)]
    if shape == "circle":
        return tag("circle", title, cx=x, cy=y, r=size, class_="point")
    if shape == "square":
        return tag("rect", title, x=x - size, y=y - size, width=2 * size, height=2 * size, class_="point")
    r = 1.35 * size
    corners = {
        "diamond": [(x, y - r), (x + r, y), (x, y + r), (x - r, y)],
        "triangle": [(x, y - r), (x + r, y + 0.8 * r), (x - r, y + 0.8 * r)],
    }[shape]
    return tag("polygon", title, points=_points(corners), class_="point")


def fitting(text: str, room: float, size: float = 12.0) -> str:
    """The text, cut with an ellipsis where it is wider than the room.

    >>> fitting("known individuals", width_of("known individuals")), fitting("known individuals", 50.0)
    ('known individuals', 'known…')
    """
    # what was given its own width fits, whatever rounding says
    most = max(int(room / (LETTER * size / 12) + 1e-9), 2)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def width_of(text: str, size: float = 12.0) -> float:
    """About how wide a text is."""
    return len(text) * LETTER * size / 12
