"""Lists of pairs: a row a pair, in a table or in arrays of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.formats.arrays import listing, text_list
from backbones.formats.named_pairs import GALLERY, QUERY, SECOND, NamedPairs, first, pick_key, unknown_photo
from cv.errors import FinblendError
from cv.tables import pick_column, read_table, select_from_file

_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)


def from_list(given: Any, what: str, names: Sequence[str], score: tuple[str, ...], second: str | None) -> NamedPairs:
    """The pairs of a table; columns are read one by one as they are needed, so that 10 million take little memory."""
    table = _Table.of(given, what)
    source, head = table.source, table.read(pl.all(), rows=slice(0, 0))
    columns = {"query": pick_column(head, QUERY, source), "gallery": pick_column(head, GALLERY, source)}
    columns["score"] = pick_column(head, score, source)
    if second is not None or set(SECOND) & set(head.columns):
        columns["second"] = pick_column(head, SECOND if second is None else (second,), source)
    photos, numbers = list(columns)[:2], list(columns)[2:]
    wanted = [_place(head[columns[role]], names, source).alias(role) for role in photos]
    wanted += [_number(head[columns[role]], source).alias(role) for role in numbers]
    found = table.read(*wanted)
    if not found.height:
        raise FinblendError(f"{source}: holds no pairs")
    for role in photos:
        row = first(found[role].is_null())
        if row is not None:
            told = unknown_photo(table.value(columns[role], row), names)
            raise FinblendError(f"{source}: row {row + 1}: {columns[role]} {told}")
    _refuse_no_number(table, columns["score"], found["score"].is_null())
    if "second" in columns and found["second"].null_count():
        # an empty cell says that a pair has no second number; text says nothing
        text = table.read(pl.col(columns["second"]).cast(pl.String)).to_series()
        _refuse_no_number(table, columns["second"], found["second"].is_null() & (text.fill_null("") != ""))
    pairs = NamedPairs(
        source=source,
        query=found["query"].to_numpy().astype(np.int32),
        gallery=found["gallery"].to_numpy().astype(np.int32),
        score=found["score"].to_numpy(),
        second=found["second"].fill_null(np.nan).to_numpy() if "second" in columns else None,
        cell=np.arange(found.height),
        width=0,
        columns=columns,
    )
    nan = np.flatnonzero(np.isnan(pairs.score))
    if len(nan):
        raise FinblendError(f"{pairs.place(nan[0])}: {columns['score']} is NaN; leave out a pair that was not compared")
    return pairs


def table_of_arrays(arrays: Mapping[str, np.ndarray], source: str, score: str, second: str | None) -> pl.DataFrame:
    """The arrays of an `.npz` that holds a list, as a table."""
    wanted = [pick_key(arrays, QUERY, source), pick_key(arrays, GALLERY, source), score]
    wanted += [pick_key(arrays, (second,), source)] if second else [name for name in SECOND if name in arrays]
    if len({arrays[name].shape for name in wanted}) > 1 or arrays[score].ndim != 1:
        raise FinblendError(f"{source}: {', '.join(wanted)} must be lists of one length; it holds {listing(arrays)}")
    return pl.DataFrame({name: text_list(a) if (a := arrays[name]).dtype.kind in "US" else a for name in wanted})


def _place(column: pl.Series, names: Sequence[str], source: str) -> pl.Expr:
    if not (column.dtype.is_integer() or column.dtype in _TEXT):
        raise FinblendError(f"{source}: {column.name} must be names of photos, got {column.dtype}")
    # a name of the catalogue becomes its place there, any other one null
    return pl.col(column.name).cast(pl.String).cast(pl.Enum(names), strict=False).to_physical()


def _number(column: pl.Series, source: str) -> pl.Expr:
    if not (column.dtype.is_numeric() or column.dtype in _TEXT):
        raise FinblendError(f"{source}: {column.name} must be numbers, got {column.dtype}")
    return pl.col(column.name).cast(pl.Float32, strict=False)


def _refuse_no_number(table: _Table, column: str, missing: pl.Series) -> None:
    row = first(missing)
    if row is None:
        return
    value = table.value(column, row)
    rule = "is empty" if value in {None, ""} else f"is '{value}', which is no number"
    raise FinblendError(f"{table.source}: row {row + 1}: {column} {rule}")


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
