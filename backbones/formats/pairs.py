"""Scores of pairs of photos, as other programs write them: lists in tables or `.npz`, matrices in `.npz`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.formats.arrays import listing, text_list
from backbones.formats.npz import read_npz
from cv.errors import FinblendError
from cv.files import refuse_no_file
from cv.limits import LONGEST
from cv.tables import pick_column, read_table, select_from_file

QUERY = ("query", "query_image", "image_1", "image1")
GALLERY = ("gallery", "gallery_image", "image_2", "image2")
SCORE = ("score", "similarity")
DISTANCE = ("distance",)
SECOND = ("second",)
# of a matrix: the photos of its rows, of its columns, or of both
ROWS, COLUMNS, BOTH = (*QUERY, "rows"), (*GALLERY, "columns"), ("names", "images", "image")


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

    def place(self, pair: int) -> str:
        """File and row, counted from 1, for error lines."""
        row, column = divmod(int(self.cell[pair]), max(self.width, 1))
        return f"{self.source}: row {row + 1}" + (f", column {column + 1}" if self.width else "")


def read_pairs(
    given: Any,
    names: Sequence[str],
    *,
    score: str | None = None,
    second: str | None = None,
    lower_is_better: bool = False,
) -> NamedPairs:
    """Read scores of pairs.

    Parameters
    ----------
    given : path, polars or pandas frame
        `.csv` or `.parquet` with columns `query`, `gallery`, `score` and perhaps `second`; `.npz` with arrays of these
        names, or with a matrix `score` (n, m) and the names `query` (n) and `gallery` (m), or `names` of a square one.
        NaN in a matrix says that the pair was not compared.
    names : sequence of str
        Every photo that may be named, each once.
    score, second : str, optional
        The columns, under other names.
    lower_is_better : bool
        Whether a column `distance` is a score, too.

    Raises
    ------
    FinblendError
        If a photo is unknown, or a number missing, no number, or not finite; rows count from 1.
    """
    taken = (DISTANCE + SCORE if lower_is_better else SCORE) if score is None else (score,)
    if isinstance(given, (str, Path)) and Path(given).suffix.lower() == ".npz":
        refuse_no_file(Path(given))
        arrays = read_npz(Path(given))
        key = _pick(arrays, taken, str(given))
        if arrays[key].ndim == 2:
            return _from_matrix(arrays, str(given), names, key, second)
        given, what = _frame(arrays, str(given), key, second), str(given)
    else:
        what = "pairs"
    return _from_list(given, what, names, taken, second)


def _from_list(given: Any, what: str, names: Sequence[str], score: tuple[str, ...], second: str | None) -> NamedPairs:
    table = _Table.of(given, what)
    head, source = table.read(pl.all(), rows=slice(0, 0)), table.source
    columns = {"query": pick_column(head, QUERY, source), "gallery": pick_column(head, GALLERY, source)}
    columns["score"] = pick_column(head, score, source)
    if second is not None or set(SECOND) & set(head.columns):
        columns["second"] = pick_column(head, SECOND if second is None else (second,), source)
    wanted = []
    for role, column in columns.items():
        kind, value = head[column].dtype, pl.col(column)
        if role in {"query", "gallery"}:
            if not (kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
                raise FinblendError(f"{source}: {column} must be names of photos, got {kind}")
            # names of the catalogue become their places in it; any other one becomes null
            wanted.append(value.cast(pl.String).cast(pl.Enum(names), strict=False).to_physical().alias(role))
        else:
            if not (kind.is_numeric() or kind in (pl.String, pl.Null)):
                raise FinblendError(f"{source}: {column} must be numbers, got {kind}")
            wanted.append(value.cast(pl.Float32, strict=False).alias(role))
            if role == "second":
                wanted.append((value.is_not_null() & (value.cast(pl.String) != "")).alias("has second"))
    found = table.read(*wanted)
    if not found.height:
        raise FinblendError(f"{source}: holds no pairs")
    for role in ("query", "gallery"):
        row = _first(found[role].is_null())
        if row is not None:
            raise FinblendError(
                f"{source}: row {row + 1}: {_unknown(columns[role], table.value(columns[role], row), names)}"
            )
    for role in ("score", "second")[: len(columns) - 2]:
        missing = found[role].is_null()
        row = _first(missing if role == "score" else missing & found["has second"])
        if row is not None:
            value = table.value(columns[role], row)
            rule = "is empty" if value in {None, ""} else f"is '{value}', which is no number"
            raise FinblendError(f"{source}: row {row + 1}: {columns[role]} {rule}")
    numbers = {role: found[role].fill_null(np.nan).to_numpy() for role in ("score", "second") if role in columns}
    pairs = NamedPairs(
        source=source,
        query=found["query"].to_numpy().astype(np.int32),
        gallery=found["gallery"].to_numpy().astype(np.int32),
        score=numbers["score"],
        second=numbers.get("second"),
        cell=np.arange(found.height),
        width=0,
        columns=columns,
    )
    nan = np.flatnonzero(np.isnan(pairs.score))
    if len(nan):
        raise FinblendError(f"{pairs.place(nan[0])}: {columns['score']} is NaN; leave out a pair that was not compared")
    return _with_usable_numbers(pairs)


def _from_matrix(
    arrays: Mapping[str, np.ndarray], source: str, names: Sequence[str], key: str, second: str | None
) -> NamedPairs:
    n, m = arrays[key].shape
    columns = {"score": key}
    extra = second or next((name for name in SECOND if name in arrays), None)
    if extra is not None:
        columns["second"] = _pick(arrays, (extra,), source)
    for name in columns.values():
        if arrays[name].dtype.kind not in "fiu" or arrays[name].shape != (n, m):
            raise FinblendError(f"{source}: {name} must be a matrix of numbers; it holds {listing(arrays)}")
    square = None if set(ROWS) & arrays.keys() else next((name for name in BOTH if name in arrays), None)
    columns["query"] = square or _pick(arrays, ROWS, source)
    columns["gallery"] = square or _pick(arrays, COLUMNS, source)
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
    pairs = NamedPairs(
        source=source,
        query=rows[compared // m],
        gallery=across[compared % m],
        score=numbers["score"],
        second=numbers.get("second"),
        cell=compared,
        width=m,
        columns=columns,
    )
    return _with_usable_numbers(pairs)


def _with_usable_numbers(pairs: NamedPairs) -> NamedPairs:
    for role in ("score", "second"):
        array = getattr(pairs, role)
        bad = np.flatnonzero(np.abs(array) > LONGEST) if array is not None else []
        if len(bad):
            raise FinblendError(
                f"{pairs.place(bad[0])}: {pairs.columns[role]} is {array[bad[0]]:g}; it must be finite, "
                f"at most {LONGEST:g}"
            )
    return pairs


def _places(arrays: Mapping[str, np.ndarray], key: str, length: int, source: str, names: Sequence[str]) -> np.ndarray:
    """(length,) int32 place of each photo of a matrix's rows or columns among the names."""
    if arrays[key].shape != (length,) or arrays[key].dtype.kind not in "US":
        raise FinblendError(f"{source}: {key} must be the names of {length} photos; it holds {listing(arrays)}")
    given = pl.Series(text_list(arrays[key]), dtype=pl.String)
    place = given.cast(pl.Enum(names), strict=False).to_physical()
    row = _first(place.is_null())
    if row is not None:
        raise FinblendError(f"{source}: {_unknown(f'{key} {row + 1}:', given[row], names)}")
    row = _first(~place.is_first_distinct())
    if row is not None:
        raise FinblendError(f"{source}: {key} {row + 1}: {given[row]} stands twice; a photo has one row and column")
    return place.to_numpy().astype(np.int32)


def _unknown(where: str, value: Any, names: Sequence[str]) -> str:
    if value in {None, ""}:
        return f"{where} is empty"
    stem = Path(str(value)).stem
    near = [name for name in names if Path(name).stem == stem][:1] or get_close_matches(str(value), names, 1, 0.8)
    hint = f"did you mean {near[0]}?" if near else f"a catalogue name looks like {names[0]}"
    return f"{where} '{value}' is no photo of the catalogue ({hint})"


def _first(mask: pl.Series) -> int | None:
    """The first row that is true."""
    row = mask.arg_max() if mask.any() else None
    return None if row is None else int(row)


def _pick(arrays: Mapping[str, np.ndarray], accepted: tuple[str, ...], source: str) -> str:
    for name in accepted:
        if name in arrays:
            return name
    raise FinblendError(f"{source}: needs an array {' or '.join(accepted)}; it holds {listing(arrays)}")


def _frame(arrays: Mapping[str, np.ndarray], source: str, score: str, second: str | None) -> pl.DataFrame:
    """The arrays of a list as a table."""
    wanted = [_pick(arrays, QUERY, source), _pick(arrays, GALLERY, source), score]
    wanted += [_pick(arrays, (second,), source)] if second else [name for name in SECOND if name in arrays]
    if {arrays[name].shape for name in wanted} != {(len(arrays[score]),) if arrays[score].ndim else None}:
        raise FinblendError(f"{source}: {', '.join(wanted)} must be lists of one length; it holds {listing(arrays)}")
    return pl.DataFrame({name: text_list(a) if (a := arrays[name]).dtype.kind in "US" else a for name in wanted})


@dataclass(frozen=True)
class _Table:
    """A table whose columns are read as they are asked for."""

    source: str
    path: Path | None
    frame: pl.DataFrame | None

    @classmethod
    def of(cls, given: Any, what: str) -> _Table:
        if isinstance(given, (str, Path)):
            return cls(str(given), Path(given), None)
        frame, source = read_table(given, what)
        return cls(source, None, frame)

    def read(self, *columns: pl.Expr, rows: slice | None = None) -> pl.DataFrame:
        if self.path is not None:
            return select_from_file(self.path, *columns, rows=rows)
        assert self.frame is not None  # noqa: S101 - one of both is there
        return (self.frame if rows is None else self.frame[rows]).select(*columns)

    def value(self, column: str, row: int) -> Any:
        """One cell, for an error line."""
        return self.read(pl.col(column), rows=slice(row, row + 1)).item()
