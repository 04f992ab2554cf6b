"""The one table that every form is written from and read into: a row a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from cv.catalogue import NO_SPECIES
from cv.errors import FinblendError
from cv.tables import as_text
from ensemble.exchange.dates import moment_of
from ensemble.outputs.bands import BANDS

BOX = ("box_x", "box_y", "box_width", "box_height")
# `date`: ISO 8601, as exact as known. Boxes: left, upper, width and height in pixels of the upright photo, or in shares
# of it where all numbers of all boxes lie within 0 and 1 (as `embed --boxes` takes them). `probability`: of the first
# answer, whether it is taken as the name or not
COLUMNS: Mapping[str, type[pl.DataType]] = {
    "image": pl.String,
    "path": pl.String,
    "individual_id": pl.String,
    "species": pl.String,
    "scientific_name": pl.String,
    "encounter": pl.String,
    "date": pl.String,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "location": pl.String,
    **dict.fromkeys(BOX, pl.Float64),
    "width": pl.Int64,
    "height": pl.Int64,
    "split": pl.String,
    "band": pl.String,
    "probability": pl.Float64,
}
TEXTS = tuple(column for column, kind in COLUMNS.items() if kind == pl.String)
_CONTROL = r"[\p{Cc}\x{FFFE}\x{FFFF}]"


def checked(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Bring a table to the columns of records, in their order, and refuse what breaks a rule.

    Text is stripped, and empty text is nothing. Columns that are not records' own stay behind them.

    Parameters
    ----------
    frame : polars.DataFrame
        At least `image`.
    name : str
        Where it came from, for error lines.

    Raises
    ------
    FinblendError
        Names the first row (counted from 1), its photo, the value and the rule.
    """
    own = [pl.Series(column, _typed(frame, column, name), dtype=kind) for column, kind in COLUMNS.items()]
    records = pl.DataFrame(own).hstack(frame.select(pl.exclude(list(COLUMNS))))
    records = records.with_columns(
        path=pl.when(pl.col("path") != pl.col("image")).then(pl.col("path")),
        species=pl.col("species").replace(NO_SPECIES, None),
    )
    for rule, column, bad in _rules():
        rows = records.select(bad.fill_null(False)).to_series().arg_true()
        if len(rows):
            raise FinblendError(f"{name}: {_row(records, rows[0])}: {column} {_value(records, column, rows[0])}{rule}")
    _check_dates(records, name)
    return records


def records_from(rows: Sequence[Mapping[str, Any]], name: str) -> pl.DataFrame:
    """Checked records from rows of whatever JSON, sheets and tables hold: of each cell its text is taken."""
    columns = {each: [text_of(row.get(each)) for row in rows] for each in COLUMNS if any(each in row for row in rows)}
    return checked(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)), name)


def text_of(value: object) -> str | None:
    """A cell as text: a whole number without its point, a date as ISO 8601, nothing for nothing.

    Examples
    --------
    >>> text_of(12.0), text_of(0.25), text_of(" a "), text_of("")
    ('12', '0.25', 'a', None)
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    # half of a pair of surrogates, which JSON can hold, is no text
    return None if value is None else str(value).encode("utf-8", "replace").decode().strip() or None


def _typed(frame: pl.DataFrame, column: str, name: str) -> pl.Series:
    """A column in its own type, stripped, with nulls for what says nothing."""
    if column not in frame.columns:
        return pl.Series(column, [None] * frame.height, COLUMNS[column])
    values, kind = frame[column], COLUMNS[column]
    if kind == pl.String:
        return as_text_of_any(values).str.strip_chars().replace("", None)
    if values.dtype == pl.String:
        values = values.str.strip_chars().replace("", None)
    numbers = values.cast(pl.Float64, strict=False).fill_nan(None)
    bad = (numbers.is_null() & values.is_not_null() & (values.cast(pl.String, strict=False) != "NaN")).arg_true()
    if kind == pl.Int64 and not len(bad):
        bad = ((numbers != numbers.round()) | (numbers.abs() > 2**31)).fill_null(False).arg_true()
    if len(bad):
        wanted = "a whole number" if kind == pl.Int64 else "a number"
        image = f" ({frame['image'][bad[0]]})" if "image" in frame.columns else ""
        raise FinblendError(f"{name}: photo {bad[0] + 1}{image}: {column} '{values[bad[0]]}': must be {wanted}")
    return numbers.cast(kind)


def as_text_of_any(values: pl.Series) -> pl.Series:
    """Values as text; dates as ISO 8601, lists as Python writes them."""
    if values.dtype.is_nested():
        texts = [None if value is None else str(list(value)) for value in values]
        return pl.Series(values.name, texts, dtype=pl.String)
    return values.cast(pl.String) if values.dtype.is_temporal() else as_text(values)


def _rules() -> list[tuple[str, str, pl.Expr]]:
    """Rule, the column whose value is shown, and which rows break it."""
    place, boxed = pl.col("latitude").is_null() != pl.col("longitude").is_null(), pl.col(BOX[0]).is_not_null()
    half_boxed = pl.any_horizontal(pl.col(BOX).is_null()) & pl.any_horizontal(pl.col(BOX).is_not_null())
    empty_box = boxed & (pl.any_horizontal(pl.col(BOX).is_infinite()) | (pl.col(BOX[2]) <= 0) | (pl.col(BOX[3]) <= 0))
    return [
        (": a photo needs a name", "image", pl.col("image").is_null()),
        (" stands twice; every photo stands once", "image", ~pl.col("image").is_first_distinct()),
        *(
            (": holds a character that no form of exchange can hold (a control character)", text, _controls(text))
            for text in TEXTS
        ),
        (": must lie within -90 and 90", "latitude", ~pl.col("latitude").is_between(-90, 90)),
        (": must lie within -180 and 180", "longitude", ~pl.col("longitude").is_between(-180, 180)),
        (": latitude and longitude come together", "latitude", place),
        (": a box is four numbers", BOX[0], half_boxed),
        (": a box needs finite numbers, a width and a height", BOX[2], empty_box),
        (": must be above 0", "width", pl.col("width") <= 0),
        (": must be above 0", "height", pl.col("height") <= 0),
        (": must be train or test", "split", ~pl.col("split").is_in(["train", "test"])),
        (f": must be one of {', '.join(BANDS)}", "band", ~pl.col("band").is_in(list(BANDS))),
        (": must lie within 0 and 1", "probability", ~pl.col("probability").is_between(0, 1)),
    ]


def _controls(text: str) -> pl.Expr:
    return pl.col(text).str.contains(_CONTROL)


def _check_dates(records: pl.DataFrame, name: str) -> None:
    for row, text in enumerate(records["date"]):
        try:
            _ = text is None or moment_of(text)
        except ValueError as rule:
            raise FinblendError(f"{name}: {_row(records, row)}: date '{text}': {rule}") from None


def _row(records: pl.DataFrame, row: int) -> str:
    return f"photo {row + 1} ({_printable(records['image'][row])})"


def _value(records: pl.DataFrame, column: str, row: int) -> str:
    value = _printable(records[column][row])
    return f"'{value}'" if COLUMNS[column] == pl.String else value


def _printable(value: object) -> str:
    text = "-" if value is None else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def refuse_first(records: pl.DataFrame, bad: pl.Expr, form: str, why: str, column: str | None = None) -> None:
    """Refuse the first photo of which an expression is true, and say why; of a column that is at fault, its value."""
    for row in records.filter(bad.fill_null(False)).head(1).iter_rows(named=True):
        value = "" if column is None or row[column] is None else f"{column} '{row[column]}': "
        raise FinblendError(f"{form}: photo {row['image']} ({row['species'] or NO_SPECIES}): {value}{why}")


def in_shares(records: pl.DataFrame) -> bool:
    """Whether boxes are shares of their photos: all numbers of all boxes lie within 0 and 1."""
    boxes = records.select(BOX).drop_nulls()
    within = boxes.select(pl.all_horizontal(pl.all().is_between(0, 1))).to_series()
    return bool(boxes.height) and bool(within.all())


def with_boxes_in(records: pl.DataFrame, unit: str, form: str) -> pl.DataFrame:
    """Turn boxes into pixels or into shares of the photo, where they are not.

    Parameters
    ----------
    records : polars.DataFrame
    unit : {"pixels", "shares"}
    form : str
        What needs it, for the error line.

    Raises
    ------
    FinblendError
        If a photo with a box has no width and height, and they are needed.
    """
    if in_shares(records) == (unit == "shares") or records[BOX[0]].null_count() == records.height:
        return records
    refuse_first(
        records,
        pl.col(BOX[0]).is_not_null() & (pl.col("width").is_null() | pl.col("height").is_null()),
        form,
        f"its box is to be written in {unit}, and its width and height are not known: give --images DIR, or columns "
        "width and height; or no boxes, by --boxes ''",
    )
    sides = dict(zip(BOX, ("width", "height", "width", "height"), strict=True))
    if unit == "shares":
        return records.with_columns(pl.col(box) / pl.col(side) for box, side in sides.items())
    # a pixel's share, times the side again, is that pixel
    return records.with_columns((pl.col(box) * pl.col(side)).round(6) for box, side in sides.items())
