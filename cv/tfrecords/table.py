"""Records as a table: one row each, a column for every feature that is small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cv.errors import FinblendError
from cv.tfrecords.example import Feature, parse_example
from cv.tfrecords.features import Chosen, choose, is_photo, name_of, refuse_twice, told, values_of
from cv.tfrecords.shard import Shard, shard_at
from cv.tfrecords.spec import read_spec

# numbers that a cell holds at most: several boxes
LONGEST_LIST = 64
# TensorFlow's object detection keeps each edge of all boxes in a list of its own, in shares of the photo
_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("xmin", "ymin", "xmax", "ymax"))


def read_record_table(text: str | Path) -> pl.DataFrame:
    """Read what is small in records; every byte is read once, and every checksum checked.

    Parameters
    ----------
    text : str or Path
        See `read_spec`.

    Returns
    -------
    polars.DataFrame
        `image`: the photo's name. `individual_id` and `species`, where features say them. Every other feature by its
        own name: text, a number, or several as text (`12 30 200 96`: a box; one of negative numbers alone is none).
        Photos, long lists and bytes that are no text are left out. Boxes of TensorFlow's object detection are joined
        in `bbox`.

    Raises
    ------
    FinblendError
        If a file is none of TFRecords, a record is damaged or truncated, a name stands twice, or there is no record.
    """
    spec = read_spec(text)
    rows: list[dict[str, Any]] = []
    seen: dict[str, tuple[Shard, int]] = {}
    for path in spec.paths:
        shard = shard_at(path)
        chosen: Chosen | None = None
        for record in shard.records(check=True):
            with told(shard, record):
                features = parse_example(record.data)
                chosen = chosen or choose(features, spec, shard)
                name = name_of(features, chosen, shard, record)
                row = _row(features, chosen)
            refuse_twice(name, seen, shard, record)
            rows.append({"image": name, **row})
    if not rows:
        raise FinblendError(f"{text}: holds no record")
    columns = dict.fromkeys(column for row in rows for column in row)
    return pl.DataFrame([_series(column, [row.get(column) for row in rows]) for column in columns])


def _row(features: Mapping[str, Feature], chosen: Chosen) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column, named in (("individual_id", chosen.label), ("species", chosen.species)):
        if named is not None and named in features:
            row[column] = _cell(features[named])
    left_out = {chosen.image, chosen.name, chosen.label, chosen.species, "image", "individual_id", "species"}
    for name in sorted(features):
        if name in left_out or name in _EDGES:
            continue
        if not is_photo(features[name]) and (cell := _cell(features[name])) is not None:
            row[name] = cell
    if all(edge in features for edge in _EDGES):
        row["bbox"] = _boxes([features[edge].numbers(LONGEST_LIST) for edge in _EDGES])
    return row


def _cell(feature: Feature) -> str | int | float | None:
    values = values_of(feature, LONGEST_LIST)
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    if feature.kind != "bytes" and all(float(value) < 0 for value in values):
        # -1 -1 -1 -1: nothing was found
        return None
    return " ".join(map(str, values))


def _boxes(edges: list[list[int] | list[float]]) -> str | None:
    """Boxes as Kaggle writes x1 y1 x2 y2; of lists that do not go together none."""
    if not edges[0] or len({len(values) for values in edges}) > 1:
        return None
    boxes = [f"[{' '.join(map(str, box))}]" for box in zip(*edges, strict=True)]
    return f"[{' '.join(boxes)}]"


def _series(name: str, cells: list[Any]) -> pl.Series:
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {int}:
        return pl.Series(name, cells, pl.Int64)
    if kinds <= {int, float} and kinds:
        return pl.Series(name, [None if cell is None else float(cell) for cell in cells], pl.Float64)
    return pl.Series(name, [None if cell is None else str(cell) for cell in cells], pl.String)
