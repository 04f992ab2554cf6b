"""Splits that a table comes with: which photos are the catalogue, which are to be named though their names are known.

Those of wildlife-datasets (open-set, disjoint-set, time-aware) are lists of labels of rows; as a column they read
`train` and `test`, or `database` and `query`.
"""

from __future__ import annotations

import polars as pl

from cv.errors import FinblendError, shown
from cv.tables import column_of_file

TRAIN = ("train", "database", "gallery")
TEST = ("test", "query")
# what may be known of a photo before it is named; any other column may call the animal by another of its names
OF_PHOTO = (
    *("image", "image_id", "path", "width", "height", "row", "split"),
    *("species", "date", "latitude", "longitude", "orientation", "position"),
    *("bbox", "box", "segmentation", "keypoints"),
)


def parts_of(spec: str, table: pl.DataFrame, name: str) -> pl.Series:
    """Say of each photo which part of a split it is in.

    Parameters
    ----------
    spec : str
        `FILE:COLUMN`, or a column of the table.
    table : polars.DataFrame
        The train table, with a column `image`.
    name : str
        Where the table came from, for error lines.

    Returns
    -------
    polars.Series of str
        "train", "test", or null for a photo that the split leaves out, as one by time leaves out those without a date.

    Raises
    ------
    FinblendError
        If a value is none of those, or a part is empty.

    Examples
    --------
    >>> photos = pl.DataFrame({"image": ["a", "b", "c"], "split": ["database", "query", None]})
    >>> parts_of("split", photos, "frame.csv").to_list()
    ['train', 'test', None]
    """
    values = column_of_file(spec, table, name)
    joined = table.select("image").join(values, on="image", how="left", maintain_order="left")
    if "path" in table.columns and joined["value"].null_count() == table.height:
        # a frame has numbers for its photos, and the file may call them by their paths
        joined = table.select("image", "path").join(
            values, left_on="path", right_on="image", how="left", maintain_order="left"
        )
    if joined["value"].null_count() == joined.height:
        raise FinblendError(f"--split {spec}: says nothing of any image of {name}")
    text = joined["value"].str.strip_chars().str.to_lowercase().replace("", None)
    parts = text.replace(dict.fromkeys(TRAIN, "train") | dict.fromkeys(TEST, "test"))
    strange = (parts.is_not_null() & ~parts.is_in(["train", "test"])).arg_true()
    if len(strange):
        row = strange[0]
        raise FinblendError(
            f"--split {spec}: image {table['image'][row]}: '{joined['value'][row]}' is none of "
            f"{shown([*TRAIN, *TEST], 5)}; leave it empty for a photo of neither part"
        )
    for part, accepted in (("train", TRAIN), ("test", TEST)):
        if not (parts == part).any():
            raise FinblendError(f"--split {spec}: no photo of {name} is in the {part} part ({' or '.join(accepted)})")
    return parts.rename("part")


def with_parts(table: pl.DataFrame, spec: str | None, rest: str, name: str) -> tuple[pl.DataFrame, int]:
    """Number the rows, say of each whether it is train, test or plays no part, and count those that a split leaves out.

    Parameters
    ----------
    table : polars.DataFrame
        Columns `image` and `individual_id`, null where the animal is unknown.
    spec : str or None
        See `parts_of`; without it, known photos are train.
    rest : str
        What the others are then: "test" or "unlabelled".
    name : str
        Where the table came from, for error lines.
    """
    parts = None if spec is None else parts_of(spec, table, name)
    known = pl.col("individual_id").is_not_null()
    table = table.drop("row", "split", strict=False).with_row_index("row")
    if parts is None:
        return table.with_columns(split=pl.when(known).then(pl.lit("train")).otherwise(pl.lit(rest))), 0
    table = table.with_columns(split=parts)
    named = (pl.col("split") == "test") | known
    return table.with_columns(split=pl.when(named).then("split").fill_null("unlabelled")), parts.null_count()


def unnamed(table: pl.DataFrame) -> pl.DataFrame:
    """Photos whose names are known elsewhere: no column that may give them away."""
    return table.select(column for column in OF_PHOTO if column in table.columns)


def in_named_folders(table: pl.DataFrame) -> int:
    """How many photos lie in a folder that is called as their animal is.

    Examples
    --------
    >>> in_named_folders(pl.DataFrame({"image": ["ann/1.jpg", "2.jpg"], "individual_id": ["ann", "ann"]}))
    1
    """
    path = pl.col("path" if "path" in table.columns else "image").cast(pl.String).str.replace_all(r"\\", "/")
    return int(table.select(path.str.split("/").list.contains(pl.col("individual_id")).sum()).item() or 0)
