"""Matrices of scores in `.npz`: a row a query, a column a gallery photo, NaN where a pair was not compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from backbones.formats.arrays import listing, text_list
from backbones.formats.named_pairs import GALLERY, QUERY, SECOND, NamedPairs, first, pick_key, unknown_photo
from cv.errors import FinblendError

# the photos of its rows, of its columns, or of both
ROWS, COLUMNS, BOTH = (*QUERY, "rows"), (*GALLERY, "columns"), ("names", "images", "image")


def from_matrix(
    arrays: Mapping[str, np.ndarray], source: str, names: Sequence[str], key: str, second: str | None
) -> NamedPairs:
    """The pairs of a matrix that were compared; in each cell is a number, NaN where not."""
    n, m = arrays[key].shape
    columns = {"score": key}
    extra = second or next((name for name in SECOND if name in arrays), None)
    if extra is not None:
        columns["second"] = pick_key(arrays, (extra,), source)
    for name in columns.values():
        if arrays[name].dtype.kind not in "fiu" or arrays[name].shape != (n, m):
            raise FinblendError(f"{source}: {name} must be a matrix of numbers; it holds {listing(arrays)}")
    square = None if set(ROWS) & arrays.keys() else next((name for name in BOTH if name in arrays), None)
    columns["query"] = square or pick_key(arrays, ROWS, source)
    columns["gallery"] = square or pick_key(arrays, COLUMNS, source)
    rows = _places(arrays, columns["query"], n, source, names)
    across = _places(arrays, columns["gallery"], m, source, names)
    compared = np.flatnonzero(~np.isnan(arrays[key]).ravel())
    if not len(compared):
        raise FinblendError(f"{source}: holds no pairs")
    with np.errstate(over="ignore"):
        numbers = {
            role: arrays[columns[role]].ravel()[compared].astype(np.float32)
            for role in ("score", "second")
            if role in columns
        }
    return NamedPairs(
        source=source,
        query=rows[compared // m],
        gallery=across[compared % m],
        score=numbers["score"],
        second=numbers.get("second"),
        cell=compared,
        width=m,
        columns=columns,
    )


def _places(arrays: Mapping[str, np.ndarray], key: str, length: int, source: str, names: Sequence[str]) -> np.ndarray:
    """(length,) int32 place of each photo of a matrix's rows or columns among the names."""
    if arrays[key].shape != (length,) or arrays[key].dtype.kind not in "US":
        raise FinblendError(f"{source}: {key} must be the names of {length} photos; it holds {listing(arrays)}")
    given = pl.Series(text_list(arrays[key]), dtype=pl.String)
    place = given.cast(pl.Enum(names), strict=False).to_physical()
    row = first(place.is_null())
    if row is not None:
        raise FinblendError(f"{source}: {key} {row + 1}: {unknown_photo(given[row], names)}")
    row = first(~place.is_first_distinct())
    if row is not None:
        raise FinblendError(f"{source}: {key} {row + 1}: {given[row]} stands twice; a photo has one row and column")
    return place.to_numpy().astype(np.int32)
