"""Tables from wherever people have them: CSV, Parquet, polars, pandas."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from cv.errors import FinblendError, shown
from cv.tfrecords import are_records, read_record_table

# a path, a polars frame or a pandas frame; pandas is never imported here, only accepted
TableLike: TypeAlias = Any
# a table in an archive that is larger than this, and so many times larger than packed, is made to fill the memory
PLAIN_SIZE, MOST_TIMES = 2**24, 200


def read_table(source: TableLike, what: str = "table") -> tuple[pl.DataFrame, str]:
    """Read a table and say where it came from.

    Parameters
    ----------
    source : path, polars.DataFrame or pandas.DataFrame
        A `.csv` (every column is read as text) or `.parquet` file, TFRecords (see `cv.tfrecords.read_record_table`), or
        a frame. A table may lie in a zip archive: `ARCHIVE.zip/folder/train.csv` is read there, and nothing is
        unpacked.
    what : str
        What to call a frame that has no file name in error lines.

    Returns
    -------
    table : polars.DataFrame
    name : str
        The file's path, or `what` for a frame.

    Raises
    ------
    FinblendError
        If the file is missing, unreadable, empty or of an unknown kind.
    """
    if isinstance(source, pl.DataFrame):
        return source, what
    if isinstance(source, (str, Path)):
        if are_records(source):
            return read_record_table(source), str(source)
        return _read_file(Path(source)), str(source)
    if type(source).__module__.split(".")[0] == "pandas":
        return _from_pandas(source, what), what
    raise FinblendError(f"{what}: expected a path, a polars or a pandas frame, got {type(source).__name__}")


def _from_pandas(frame: Any, what: str) -> pl.DataFrame:
    table: pl.DataFrame
    try:
        table = pl.from_pandas(frame)
    except (ValueError, TypeError, NotImplementedError) as error:  # pyarrow's errors are among them
        # a column of several types becomes text
        mixed = frame.astype({column: str for column, kind in frame.dtypes.items() if str(kind) == "object"})
        try:
            table = pl.from_pandas(mixed.where(frame.notna(), None))
        except (ValueError, TypeError, NotImplementedError):
            raise FinblendError(f"{what}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    return table


def _read_file(path: Path) -> pl.DataFrame:
    archive = archive_of(path)
    if archive is not None:
        return _read_member(path, archive)
    suffix = _kind_of(path)
    with _told(path):
        return pl.read_csv(path, infer_schema=False) if suffix == ".csv" else pl.read_parquet(path)


def archive_of(path: Path) -> Path | None:
    """The zip archive that a path leads into, as in `ARCHIVE.zip/train.csv`; None for any other."""
    return next((each for each in path.parents if each.suffix.lower() == ".zip" and each.is_file()), None)


def _read_member(path: Path, archive: Path) -> pl.DataFrame:
    """A table that lies in a zip archive, read in memory."""
    member = path.relative_to(archive).as_posix()
    suffix = _suffix_of(path)
    with _told(path):
        content = _bytes_of(archive, member, path)
        if suffix == ".csv":
            _refuse_other_separators(path, content.partition(b"\n")[0])
            return pl.read_csv(content, infer_schema=False)
        return pl.read_parquet(io.BytesIO(content))


def _bytes_of(archive: Path, member: str, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo(member)
            if info.file_size > max(PLAIN_SIZE, MOST_TIMES * info.compress_size):
                raise FinblendError(
                    f"{path}: unpacks to {info.file_size:,} bytes, over {MOST_TIMES} times its packed size"
                )
            return opened.read(member)
    except KeyError:
        raise FinblendError(f"{path}: no such file in {archive}") from None
    # a password, a packing that is not known, checksums that are not those of the content
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise FinblendError(f"{archive}: cannot be read as zip ({error})") from None


def _kind_of(path: Path) -> str:
    """`.csv` or `.parquet`; anything else is refused."""
    if path.is_dir():
        raise FinblendError(f"{path}: is a folder; a table is a .csv or .parquet file")
    if not path.is_file():
        raise FinblendError(f"{path}: no such file")
    suffix = _suffix_of(path)
    if suffix == ".csv":
        with path.open("rb") as file:
            _refuse_other_separators(path, file.readline())
    return suffix


def _suffix_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return suffix
    if suffix in {".parquet", ".pq"}:
        return ".parquet"
    raise FinblendError(f"{path}: unknown kind of table '{suffix}'; use .csv or .parquet")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Refuse in one line what polars says of a file."""
    try:
        yield
    except pl.exceptions.NoDataError:
        raise FinblendError(f"{path}: is empty") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FinblendError(f"{path}: cannot be read as {path.suffix.lower()[1:]} ({reason})") from None


def select_from_file(path: Path, *columns: pl.Expr, rows: slice | None = None) -> pl.DataFrame:
    """Read a few columns of a large table, or some of its rows, in bounded memory; text files hold text, as always.

    Parameters
    ----------
    path : Path
        A `.csv` or `.parquet` file.
    columns : polars.Expr
        What is wanted of each row.
    rows : slice, optional
        Which rows, from `start` up to `stop`; all by default.
    """
    suffix = _kind_of(path)
    with _told(path):
        scan = pl.scan_csv(path, infer_schema=False, glob=False) if suffix == ".csv" else pl.scan_parquet(path)
        if rows is not None:
            scan = scan.slice(rows.start, rows.stop - rows.start)
        return scan.select(*columns).collect()


def _refuse_other_separators(path: Path, first: bytes) -> None:
    """Refuse a file whose first line has semicolons or tabs and no comma: a European Excel writes semicolons."""
    separator = next((name for mark, name in ((b";", "semicolons"), (b"\t", "tabs")) if mark in first), None)
    if separator and b"," not in first:
        raise FinblendError(
            f"{path}: its header is parted by {separator}; columns must be parted by commas "
            "(a European Excel writes semicolons)"
        )


def pick_column(table: pl.DataFrame, accepted: tuple[str, ...], name: str) -> str:
    """Return the first of the accepted column names that the table has, or refuse."""
    for column in accepted:
        if column in table.columns:
            return column
    raise FinblendError(f"{name}: needs a column {' or '.join(accepted)}; it has {shown(table.columns, 12)}")


def as_text(values: pl.Series) -> pl.Series:
    """Values as text; whole numbers that a gap has turned into floats (pandas does that) are whole numbers again.

    Examples
    --------
    >>> as_text(pl.Series([1.0, None])).to_list()
    ['1', None]
    """
    if values.dtype.is_float():
        values = values.fill_nan(None)
        numbers = values.drop_nulls()
        if numbers.is_finite().all() and (numbers.abs() < 2**53).all() and (numbers == numbers.round()).all():
            values = values.cast(pl.Int64)
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        raise FinblendError(f"{values.name}: must be text or whole numbers, got {values.dtype}") from None


def text_column(table: pl.DataFrame, column: str, name: str) -> pl.Series:
    """Return a column as non-empty text; the first empty row is named in the refusal."""
    values = as_text(table[column])
    bad = (values.is_null() | (values.str.strip_chars() == "")).arg_true()
    if len(bad):
        raise FinblendError(f"{name}: row {bad[0] + 1}: {column} is empty")
    return values


def column_of_file(spec: str, table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Read the column that `FILE:COLUMN` (or `COLUMN`, of the table itself) points at.

    Parameters
    ----------
    spec : str
        `FILE:COLUMN` for a table with an image column, or the name of a column of `table`.
    table : polars.DataFrame
        The catalogue's own table, with a column `image`.
    name : str
        Where `table` came from, for error lines.

    Returns
    -------
    polars.DataFrame
        Columns `image` and `value`, both text, one row an image.
    """
    path, colon, column = spec.rpartition(":")
    if not colon:
        if spec not in table.columns and Path(spec).suffix.lower() in {".csv", ".parquet", ".pq"}:
            raise FinblendError(f"{spec}: which of its columns? say {spec}:COLUMN")
        if spec not in table.columns:
            raise FinblendError(f"{name}: has no column '{spec}' (give FILE:COLUMN for a column of another file)")
        return table.select("image", value=as_text(table[spec]))
    other, other_name = read_table(path)
    if column not in other.columns:
        raise FinblendError(f"{other_name}: has no column '{column}'; it has {shown(other.columns, 12)}")
    images = text_column(other, pick_column(other, ("image", "image_id", "path"), other_name), other_name)
    refuse_repeats(images, other_name)
    return pl.DataFrame({"image": images, "value": as_text(other[column])})


def refuse_repeats(images: pl.Series, name: str) -> None:
    """Refuse a list of images in which one stands twice."""
    repeated = (~images.is_first_distinct()).arg_true()
    if len(repeated):
        row = repeated[0]
        raise FinblendError(f"{name}: row {row + 1}: image {images[row]} stands twice; every image stands once")
