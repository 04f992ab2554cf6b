"""Photos side by side: a query and its candidates."""

from __future__ import annotations

from dataclasses import dataclass, field

# stands where the photo of somebody new would be
NOBODY_KNOWN = "somebody new"


@dataclass(frozen=True)
class Shot:
    """One photo: its name, a small copy as a data URI where there is one, lines below it, what stands for no photo.

    `right` marks the true answer.
    """

    image: str
    data_uri: str | None
    caption: list[str] = field(default_factory=list)
    instead: str = "no photo"
    right: bool = False


@dataclass(frozen=True)
class GalleryRow:
    """A query and its candidates, best first; `note` says what the row shows.

    One that is `joined` goes on with the photo of the row before it.
    """

    query: Shot
    candidates: list[Shot]
    note: str = ""
    joined: bool = False
