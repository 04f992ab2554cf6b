"""What a form of exchange has to do: records in, a place out, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from cv.errors import FinblendError


@dataclass(frozen=True)
class Stated:
    """What its user says of all photos of an export, beside the records.

    Attributes
    ----------
    submitter : str or None
        A Wildbook user name.
    location_id : str or None
        One of the Wildbook's list.
    metadata : dict
        Laid over a Camtrap DP's descriptor: `title`, `contributors`, `project`, `licenses`, ...
    """

    submitter: str | None = None
    location_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What stood at a place.

    Attributes
    ----------
    records : polars.DataFrame
        As `checked` leaves them.
    notes : list of str
        What was left out, a line each.
    """

    records: pl.DataFrame
    notes: list[str] = field(default_factory=list)


class Exchange(Protocol):
    """A form that records are written in and read from.

    What `write` takes, `read` gives back, row by row and column by column. Of boxes: the same pixels.
    """

    @property
    def name(self) -> str:
        """As it is typed."""

    def refuse_place(self, place: Path) -> None:
        """Refuse a place of the wrong kind, before anything is computed."""

    def write(self, records: pl.DataFrame, place: Path, stated: Stated) -> list[str]:
        """Write checked records beside the place and rename; return notes, a line each.

        Raises
        ------
        FinblendError
            If the form requires what a photo does not say: one line names the photo and the flag that helps.
        """

    def read(self, place: Path) -> Reading:
        """Read what stands at a place, from finblend or anybody else."""


def refuse_suffix(place: Path, suffix: str, form: str) -> None:
    """Refuse a file of another kind."""
    if place.suffix.lower() != suffix:
        raise FinblendError(f"{place}: {form} is written to a file *{suffix}")
