"""Pairs of photos by their places among the photos' names, and what is refused of any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.formats.arrays import listing
from cv.errors import FinblendError
from cv.limits import LONGEST

# the names that columns and arrays may have
QUERY = ("query", "query_image", "image_1", "image1")
GALLERY = ("gallery", "gallery_image", "image_2", "image2")
SECOND = ("second",)


@dataclass(frozen=True, kw_only=True)
class NamedPairs:
    """Pairs as a file has them, in its order.

    Attributes
    ----------
    source : str
        The file, for error lines.
    query, gallery : (m,) int32 arrays
        Places in the list of names that the file was read with.
    score : (m,) float32 array
        Finite.
    second : (m,) float32 array or None
        NaN where a pair has none.
    cell : (m,) int64 array
        Where a pair stands: its row, or its row times `width` plus its column.
    width : int
        Columns of the matrix; 0 for a list.
    columns : dict of str to str
        Which column or array was taken for what.
    """

    source: str
    query: np.ndarray
    gallery: np.ndarray
    score: np.ndarray
    second: np.ndarray | None
    cell: np.ndarray
    width: int
    columns: Mapping[str, str]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.query)

    @property
    def is_matrix(self) -> bool:
        """Whether the file has a cell for every pair, wanted or not."""
        return self.width > 0

    def take(self, keep: np.ndarray) -> NamedPairs:
        """The pairs that are true in a mask."""
        return replace(
            self,
            query=self.query[keep],
            gallery=self.gallery[keep],
            score=self.score[keep],
            second=None if self.second is None else self.second[keep],
            cell=self.cell[keep],
        )

    def place(self, pair: int) -> str:
        """File and row, counted from 1, for error lines."""
        row, column = divmod(int(self.cell[pair]), max(self.width, 1))
        return f"{self.source}: row {row + 1}" + (f", column {column + 1}" if self.width else "")

    def __post_init__(self) -> None:
        for role in ("score", "second"):
            array = getattr(self, role)
            if array is None:
                continue
            bad = np.flatnonzero(np.abs(array) > LONGEST)
            if len(bad):
                raise FinblendError(
                    f"{self.place(bad[0])}: {self.columns[role]} is {array[bad[0]]:g}; it must be finite, "
                    f"at most {LONGEST:g}"
                )


def first(mask: pl.Series) -> int | None:
    """The first row that is true."""
    row = mask.arg_max() if mask.any() else None
    return None if row is None else int(row)


def unknown_photo(value: Any, names: Sequence[str]) -> str:
    """What is said of a name that no photo has."""
    if value in {None, ""}:
        return "is empty"
    stem = Path(str(value)).stem
    near = [name for name in names if Path(name).stem == stem][:1] or get_close_matches(str(value), names, 1, 0.8)
    hint = f"did you mean {near[0]}?" if near else f"a catalogue name looks like {names[0]}"
    return f"'{value}' is no photo of the catalogue ({hint})"


def pick_key(arrays: Mapping[str, np.ndarray], accepted: tuple[str, ...], source: str) -> str:
    """Return the first of the accepted names that an `.npz` has, or refuse."""
    for name in accepted:
        if name in arrays:
            return name
    raise FinblendError(f"{source}: needs an array {' or '.join(accepted)}; it holds {listing(arrays)}")
