"""Read a Camtrap DP's tables, anybody's, with what finblend's own tags add."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from cv.errors import FinblendError
from cv.tables import pick_column, read_table
from ensemble.exchange.camtrap_schemas import BBOX, EXIF_SIZE, MISSING, TAG, fields
from ensemble.exchange.dates import moment_of
from ensemble.exchange.records import BOX


def read_resource(package: Any, table: str, folder: Path, place: Path) -> pl.DataFrame:
    """One of the three tables, by the path that the descriptor gives; all fields are text."""
    resources = package.get("resources") if isinstance(package, dict) else None
    found = [
        each
        for each in (resources if isinstance(resources, list) else [])
        if isinstance(each, dict) and each.get("name") == table
    ]
    path = found[0].get("path") if found else None
    if not isinstance(path, str) or Path(path).is_absolute() or ".." in Path(path).parts or "://" in path:
        raise FinblendError(f"{place}: a Camtrap DP has a resource {table} with a path in its folder")
    frame, name = read_table(folder / path)
    for required in (
        "deploymentID",
        *{"media": ("mediaID", "filePath"), "observations": ("observationType",)}.get(table, ()),
    ):
        pick_column(frame, (required,), name)
    frame = frame.with_columns(pl.all().cast(pl.String).replace(list(MISSING), None))
    absent = [pl.lit(None, pl.String).alias(field) for field in fields(table) if field not in frame.columns]
    return frame.with_columns(absent)


def words_of(package: Any) -> Mapping[str, Any]:
    """Words of the catalogue that wrote a package, and the scientific names that they stood for; none of others'."""
    own = package.get("finblend") if isinstance(package, dict) else None
    words = own.get("species") if isinstance(own, dict) else None
    return words if isinstance(words, dict) else {}


def record_of(row: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """A record from one row of the three tables joined.

    Parameters
    ----------
    row : mapping
    words : mapping
        As of `words_of`.
    """
    pairs = (tag.strip().partition(":") for tag in (row["observationTags"] or "").split("|"))
    tags = {key.removeprefix(TAG): unquote(value) for key, _, value in pairs if key.startswith(TAG)}
    path, image, exif = row["filePath"], row["mediaID"], _read_exif(row["exifData"])
    word = tags.get("species")
    return {
        "image": image,
        "path": path,
        "individual_id": row["individualID"],
        # ours, as long as the scientific name has not been changed
        "species": word if word is not None and words.get(word) == row["scientificName"] else None,
        "scientific_name": row["scientificName"],
        "encounter": row["eventID"],
        "date": _read_date(row["timestamp"], tags.get("date")),
        "latitude": row["latitude"],
        "longitude": row["longitude"],
        "location": row["locationName"] or row["locationID"],
        **{box: row[own] for box, own in zip(BOX, BBOX, strict=True)},
        **{side: exif.get(name) for side, name in EXIF_SIZE.items()},
        "split": tags.get("split"),
        "band": tags.get("band"),
        "probability": (row["classificationProbability"] if "band" in tags else None) or tags.get("probability"),
    }


def _read_exif(text: str | None) -> dict[str, Any]:
    try:
        exif = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    inner = exif.get("EXIF", exif) if isinstance(exif, dict) else {}
    if not isinstance(inner, dict):
        return {}
    return {name: value for name, value in inner.items() if type(value) is int and 0 < value < 2**31}


def _read_date(timestamp: str | None, tagged: str | None) -> str | None:
    """The date as it was known, where the timestamp still begins it."""
    if tagged is None or timestamp is None:
        return timestamp
    try:
        same = moment_of(tagged).start == moment_of(timestamp).start
    except ValueError:
        return timestamp
    return tagged if same else timestamp
