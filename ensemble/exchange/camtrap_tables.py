"""A Camtrap DP's three tables, from records whose boxes are shares of their photos."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import polars as pl

from ensemble.exchange.camtrap_schemas import BBOX, EXIF_SIZE, TAG, fields
from ensemble.exchange.dates import moment_of
from ensemble.exchange.records import BOX, refuse_first
from ensemble.project.version import finblend_version

_PLACE = ("latitude", "longitude", "location")
# what a tag's value may hold as it is
_SAFE = "".join(chr(c) for c in range(32, 127) if chr(c) not in "|%")


def cut_at_edges(records: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Boxes within their photos, and how many were not."""
    x, y, width, height = (pl.col(each) for each in BOX)
    left, upper = x.clip(0, 1), y.clip(0, 1)
    cut = records.with_columns(
        left.alias(BOX[0]),
        upper.alias(BOX[1]),
        pl.when((x < 0) | (x + width > 1 + 1e-9)).then((x + width).clip(0, 1) - left).otherwise(width).alias(BOX[2]),
        pl.when((y < 0) | (y + height > 1 + 1e-9))
        .then((y + height).clip(0, 1) - upper)
        .otherwise(height)
        .alias(BOX[3]),
    )
    refuse_first(
        cut,
        (pl.col(BOX[2]) <= 0) | (pl.col(BOX[3]) <= 0),
        "camtrap-dp",
        "its box lies outside of it",
    )
    changed = pl.any_horizontal(pl.col(each) != cut[each] for each in BOX).fill_null(False)
    return cut, int(records.select(changed.sum()).item())


def tables_of(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Deployments, media and observations, each with all fields of the standard.

    A time in a zone that nobody has told is taken as UTC, and its deployment says `timestampIssues`. What is known to
    the day or less begins with the first second that it may mean, and ends with the last.
    """
    moments = [moment_of(date) for date in records["date"]]
    ends = [moment.end if len(moment.parts) < 5 else moment.start for moment in moments]
    photos = records.with_columns(
        pl.Series("start", [moment.start for moment in moments], pl.Datetime("us", "UTC")),
        pl.Series("end", ends, pl.Datetime("us", "UTC")),
        pl.Series("exact", [moment.zone is not None for moment in moments]),
        pl.Series("eventStart", [_text(moment.start) for moment in moments]),
        pl.Series("eventEnd", [_text(end) for end in ends]),
    )
    places = photos.group_by(_PLACE, maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), timestampIssues=~pl.col("exact").all()
    )
    places = places.with_columns(deploymentID=pl.format("d{}", pl.int_range(1, pl.len() + 1)))
    photos = photos.join(
        places.select(*_PLACE, "deploymentID"), on=_PLACE, how="left", nulls_equal=True, maintain_order="left"
    )
    deployments = places.with_columns(
        locationName="location",
        deploymentStart=pl.col("start").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        deploymentEnd=pl.col("end").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    path = pl.col("path").fill_null(pl.col("image"))
    media = photos.with_columns(
        mediaID="image",
        timestamp="eventStart",
        filePath=path,
        filePublic=pl.lit(False),
        fileName=path.str.replace_all(r"^.*/", ""),
        fileMediatype=path.map_elements(_mediatype, return_dtype=pl.String),
        exifData=pl.Series(
            [_exif(row) for row in photos.select("width", "height").iter_rows(named=True)], dtype=pl.String
        ),
    )
    answered = pl.col("band").is_not_null()
    observations = photos.with_columns(
        pl.Series("observationTags", [_tags(row) for row in photos.iter_rows(named=True)], pl.String),
        *(pl.col(box).alias(own) for box, own in zip(BOX, BBOX, strict=True)),
        observationID="image",
        mediaID="image",
        eventID="encounter",
        observationLevel=pl.lit("media"),
        observationType=pl.lit("animal"),
        scientificName="scientific_name",
        count=pl.lit(1),
        individualID="individual_id",
        classificationMethod=pl.when(answered).then(pl.lit("machine")),
        classifiedBy=pl.when(answered).then(pl.lit(f"finblend {finblend_version()}")),
        classificationProbability=pl.when(pl.col("individual_id").is_not_null()).then("probability"),
    )
    frames = {"deployments": deployments, "media": media, "observations": observations}
    return {table: _in_order(frame, table) for table, frame in frames.items()}


def _in_order(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """All fields of a table in the standard's order; those of which nothing is known are empty."""
    return frame.select(
        pl.col(name) if name in frame.columns else pl.lit(None, pl.String).alias(name) for name in fields(table)
    )


def _text(moment: datetime) -> str:
    """As the standard writes a time: no fractions, UTC as Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _mediatype(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or ""
    return kind if kind.startswith(("image/", "video/")) else "image/x-unknown"


def _exif(size: Mapping[str, int | None]) -> str | None:
    if size["width"] is None or size["height"] is None:
        return None
    return json.dumps({"EXIF": {name: size[side] for side, name in EXIF_SIZE.items()}}, separators=(",", ":"))


def _tags(row: Mapping[str, Any]) -> str | None:
    """What has no field of its own, `key:value`, parted by bars; a bar and % of values are escaped as in URLs."""
    start = _text(moment_of(row["date"]).start)
    told = {
        "split": row["split"],
        "band": row["band"],
        "probability": row["probability"] if row["individual_id"] is None else None,
        "species": row["species"],
        "date": None if row["date"] == start else row["date"],
    }
    tags = [f"{TAG}{key}:{quote(str(value), safe=_SAFE)}" for key, value in told.items() if value is not None]
    return " | ".join(tags) or None
