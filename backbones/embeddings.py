"""Embeddings as they come from outside: rows in any order, not yet matched with a catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from cv.catalogue import IMAGE_COLUMNS
from cv.errors import FinblendError, shown
from cv.tables import pick_column, text_column

DEFAULT_VIEW = "orig"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Embeddings:
    """One split's embeddings of one model.

    Attributes
    ----------
    views : mapping of str to (n, d) float array
        One array a view.
    images : sequence of str or None
        The image name of each row.
    rows : (n,) int array or None
        Where there are no names: the 0-based row of the catalogue's own table.
    predictions : mapping of str to (n, ...) array
        What the model said beside its embeddings (`pred_species`, `pred_idx`, `pred_logit`).
    labels : (n,) int array or None
        The class numbers the file carries, used only to warn when they contradict the catalogue.
    source : str
        Where it came from, for error lines.
    """

    views: Mapping[str, np.ndarray]
    images: list[str] | None = None
    rows: np.ndarray | None = None
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels: np.ndarray | None = None
    source: str = "embeddings"

    def __post_init__(self) -> None:
        n = None
        for view, array in self.views.items():
            where = self.source if len(self.views) == 1 else f"{self.source} ({view})"
            if array.ndim != 2 or 0 in array.shape:
                raise FinblendError(f"{where}: embeddings must be a table (photos, width), got shape {array.shape}")
            if array.dtype.kind != "f":
                raise FinblendError(f"{where}: embeddings must be floating point, got {array.dtype}")
            if n is not None and len(array) != n:
                raise FinblendError(f"{where}: has {len(array)} rows, the first view has {n}")
            n = len(array)
        if self.rows is not None and self.rows.ndim != 1:
            raise FinblendError(f"{self.source}: original_index must be a list of rows, got shape {self.rows.shape}")
        names = len(self.images) if self.images is not None else len(self.rows) if self.rows is not None else None
        if names is not None and names != n:
            raise FinblendError(f"{self.source}: {n} embeddings but {names} image names; there must be one a row")

    def __len__(self) -> int:
        return len(next(iter(self.views.values())))

    def named(self, view: str) -> Embeddings:
        """Name the only view."""
        if len(self.views) != 1:
            raise FinblendError(f"{self.source}: has the views {', '.join(self.views)}; --view names a single one")
        return Embeddings(
            {view: next(iter(self.views.values()))}, self.images, self.rows, self.predictions, self.labels, self.source
        )


def embeddings_from_frame(table: pl.DataFrame, source: str, column: str | None = None) -> Embeddings:
    """Read `image, embedding` (a list, or its text) or `image, e0, e1, ...` (one number a column).

    Parameters
    ----------
    table : polars.DataFrame
    source : str
        For error lines.
    column : str, optional
        Which column holds the embedding, where there are several.

    Raises
    ------
    FinblendError
        If there is no image column, or the embedding cannot be found without doubt.
    """
    image_column = pick_column(table, IMAGE_COLUMNS, source)
    if table.is_empty():
        raise FinblendError(f"{source}: has no rows")
    images = text_column(table, image_column, source).to_list()
    rest = table.drop(image_column)
    if column is not None:
        if column not in rest.columns:
            raise FinblendError(f"{source}: has no column '{column}'; it has {', '.join(table.columns[:12])}")
        rest = rest.select(column)
    lists = [name for name, kind in rest.schema.items() if isinstance(kind, (pl.List, pl.Array))]
    if len(lists) == 1:
        return Embeddings({DEFAULT_VIEW: _from_lists(rest[lists[0]], source)}, images, source=source)
    if len(lists) > 1:
        raise FinblendError(
            f"{source}: has several embedding columns ({', '.join(lists)}); choose one with FILE:COLUMN"
        )
    if rest.width == 1 and rest.dtypes[0] == pl.String:
        return Embeddings({DEFAULT_VIEW: _from_text(rest.to_series(), source)}, images, source=source)
    return Embeddings({DEFAULT_VIEW: _from_columns(rest, source)}, images, source=source)


def _from_lists(column: pl.Series, source: str) -> np.ndarray:
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    widths = column.list.len()
    bad = (widths.is_null() | (widths != (widths[0] or 0))).arg_true()
    if len(bad):
        row = bad[0]
        if not widths[row]:
            raise FinblendError(f"{source}: row {row + 1}: {column.name} is empty")
        raise FinblendError(
            f"{source}: row {row + 1}: {widths[row]} numbers in {column.name}, the first row has {widths[0]}"
        )
    flat = column.explode()
    if not flat.dtype.is_float():
        raise FinblendError(f"{source}: embeddings must be floating point, got {flat.dtype}")
    if flat.null_count():
        raise FinblendError(f"{source}: row {flat.is_null().arg_true()[0] // widths[0] + 1}: a value is missing")
    return flat.to_numpy().reshape(len(column), widths[0])


def _from_text(column: pl.Series, source: str) -> np.ndarray:
    vectors = []
    if not column.str.contains(r"[.eE]|nan|inf").any():
        raise FinblendError(f"{source}: embeddings must be floating point, got whole numbers only")
    for row, text in enumerate(column.to_list()):
        try:
            vectors.append(np.array((text or "").strip("[]() \n").replace(",", " ").split(), dtype=np.float64))
        except ValueError as error:
            raise FinblendError(f"{source}: row {row + 1}: {column.name} is no list of numbers ({error})") from None
        if len(vectors[row]) != len(vectors[0]):
            raise FinblendError(
                f"{source}: row {row + 1}: {len(vectors[row])} numbers, the first row has {len(vectors[0])}"
            )
    return np.stack(vectors)


def _from_columns(table: pl.DataFrame, source: str) -> np.ndarray:
    if not table.width:
        raise FinblendError(f"{source}: has no embedding columns beside the image names")
    integers = [name for name, kind in table.schema.items() if kind.is_integer()]
    if len(integers) == table.width:
        raise FinblendError(f"{source}: embeddings must be floating point, got {table.dtypes[0]}")
    # a class number among the numbers of an embedding would swamp every cosine, silently
    series = Counter(name.rstrip("0123456789") for name in table.columns if name[-1:].isdecimal())
    prefix, members = series.most_common(1)[0] if series else ("", 0)
    strange = [name for name in table.columns if not (name[-1:].isdecimal() and name.rstrip("0123456789") == prefix)]
    strange = strange if members > 1 else integers
    if strange:
        raise FinblendError(f"{source}: {shown(strange)}: not one of the numbered embedding columns; leave it out")
    try:
        numbers = table.select(pl.all().cast(pl.Float64, strict=False))
    except pl.exceptions.PolarsError:
        raise FinblendError(f"{source}: {shown(table.columns)}: must be numbers, got {shown(table.dtypes)}") from None
    for name in table.columns:
        bad = numbers[name].is_null().arg_true()
        if len(bad):
            row = bad[0]
            raise FinblendError(f"{source}: row {row + 1}: {name} is '{table[name][row]}', which is no number")
    array = numbers.to_numpy()
    # a text file does not say its type; whole numbers throughout are quantised codes or labels, not embeddings
    text = table.select(pl.col(pl.String))
    whole = (
        text.width == table.width and not text.select(pl.any_horizontal(pl.all().str.contains(r"[.eE]").any())).item()
    )
    if whole and np.isfinite(array).all():
        raise FinblendError(f"{source}: embeddings must be floating point, got whole numbers only")
    return array


def as_embeddings(value: Any, source: str) -> Embeddings:
    """Take embeddings from Python: `Embeddings`, `(images, array)`, `(images, {view: array})`, polars or pandas."""
    if isinstance(value, Embeddings):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        images, arrays = value
        views = arrays if isinstance(arrays, Mapping) else {DEFAULT_VIEW: arrays}
        names = [str(image) for image in images]
        return Embeddings({view: np.asarray(a) for view, a in views.items()}, names, source=source)
    if isinstance(value, pl.DataFrame):
        return embeddings_from_frame(value, source)
    if type(value).__module__.split(".")[0] == "pandas":
        return embeddings_from_frame(pl.from_pandas(value), source)
    raise FinblendError(
        f"{source}: expected a path, (images, array), a polars or a pandas frame, got {type(value).__name__}"
    )
