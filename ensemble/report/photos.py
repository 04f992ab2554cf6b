"""Photos side by side: a query and its candidates."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shot:
    """One photo: its name, a small copy as a data URI where there is one, and lines below it."""

    image: str
    data_uri: str | None
    caption: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GalleryRow:
    """A query and its candidates, best first; `note` says what the row shows."""

    query: Shot
    candidates: list[Shot]
    note: str = ""
