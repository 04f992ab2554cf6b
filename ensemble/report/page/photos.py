"""Photos side by side: a query and its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# stands where the photo of somebody new would be
NOBODY_KNOWN = "somebody new"


@dataclass(frozen=True)
class Shot:
    """One photo: its name, a small copy as a data URI where there is one, lines below it, what stands for no photo.

    `right` marks the true answer. `size` is the small copy's in pixels, `area` what it shows of the photo: left, upper,
    right and lower edge in shares.
    """

    image: str
    data_uri: str | None
    caption: list[str] = field(default_factory=list)
    instead: str = "no photo"
    right: bool = False
    size: tuple[int, int] = (0, 0)
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Match:
    """Matched marks of a row's query and one of its candidates.

    Attributes
    ----------
    candidate : int
        Its place among the row's candidates.
    points : sequence of (float, float, float, float)
        x, y in the query and x, y in the candidate, in shares of the small copies' width and height.
    caption : str
    """

    candidate: int
    points: Sequence[tuple[float, float, float, float]]
    caption: str


@dataclass(frozen=True)
class GalleryRow:
    """A query and its candidates, best first; `note` says what the row shows.

    One that is `joined` goes on with the photo of the row before it. `matches` are drawn below the photos.
    """

    query: Shot
    candidates: list[Shot]
    note: str = ""
    joined: bool = False
    matches: list[Match] = field(default_factory=list)
