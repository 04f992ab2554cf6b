"""Camtrap DP 1.0: a Data Package of deployments, media and observations, with `individualID`."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl

from cv.errors import FinblendError
from cv.files import folder_written_beside, read_json, write_json
from cv.tables import pick_column, read_table
from ensemble.exchange.camtrap_check import refuse_invalid
from ensemble.exchange.camtrap_descriptor import descriptor, taken_for_granted
from ensemble.exchange.camtrap_schemas import MISSING, TABLES, fields
from ensemble.exchange.contract import Reading, Stated
from ensemble.exchange.dates import moment_of
from ensemble.exchange.records import BOX, TEXTS, checked, refuse_first, with_boxes_in
from ensemble.exchange.taxa import TAXA
from ensemble.project.version import finblend_version

_BBOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
_PLACE = ("latitude", "longitude", "location")
_SIZE = {"width": "PixelXDimension", "height": "PixelYDimension"}
_FILE_PATH = re.compile(r"[^./~](?:(?!\.\.).)*")


@dataclass(frozen=True)
class CamtrapDp:
    """A folder with `datapackage.json` and three tables.

    A deployment is a place, from the first to the last photo there; a photo is one medium with one observation at the
    level of media. What the standard has no field for (split, band, the catalogue's own word for a species, a date that
    is not exact) is among `observationTags`, as `key:value`.
    """

    name: str = "camtrap-dp"

    def refuse_place(self, place: Path) -> None:
        """Wants a folder."""
        if place.suffix:
            raise FinblendError(f"{place}: {self.name} is written to a folder, so -o has no suffix")

    def write(self, records: pl.DataFrame, place: Path, stated: Stated) -> list[str]:
        """Write the package, and have frictionless check it before it takes its place."""
        self._refuse_unknown(records)
        records, cut = _cut_at_edges(with_boxes_in(records, "shares", self.name))
        tables = _tables(records)
        package = descriptor(records, tables["deployments"], stated.metadata)
        with folder_written_beside(place) as folder:
            for table, frame in tables.items():
                frame.write_csv(folder / f"{table}.csv")
            write_json(folder / "datapackage.json", package)
            refuse_invalid(folder, str(place))
        notes = [f"{tables['deployments'].height} deployments: places, from their first to their last photo"]
        if cut:
            notes.append(f"{cut} boxes reached beyond their photo and were cut at its edge")
        return notes + taken_for_granted(stated.metadata)

    def read(self, place: Path) -> Reading:
        """Read observations of single animals; those of events, blanks, people and groups are counted and left out."""
        package = read_json(place / "datapackage.json" if place.is_dir() else place)
        folder = place if place.is_dir() else place.parent
        deployments, media, observations = (_table(package, table, folder, place) for table in TABLES)
        animals = observations.filter(
            pl.col("observationType") == "animal", pl.col("mediaID").is_in(media["mediaID"].implode())
        )
        several = pl.col("individualID").n_unique().over("mediaID") > 1
        alone = animals.filter(~several).unique("mediaID", keep="first", maintain_order=True)
        notes = [
            f"left out: {number} {what}"
            for number, what in (
                (observations.height - animals.height, "observations of no animal or of no photo"),
                (animals.filter(several)["mediaID"].n_unique(), "photos of several individuals"),
            )
            if number
        ]
        joined = media.join(alone, on="mediaID", how="inner", suffix="_of_observation", maintain_order="left").join(
            deployments, on="deploymentID", how="left", suffix="_of_deployment", maintain_order="left"
        )
        if joined.is_empty():
            raise FinblendError(f"{place}: has no photo of an animal")
        known = package.get("finblend", {}) if isinstance(package, dict) else {}
        rows = [
            _record(row, known.get("species", {}) if isinstance(known, dict) else {})
            for row in joined.iter_rows(named=True)
        ]
        records = checked(pl.DataFrame(rows, infer_schema_length=None), str(place))
        if not records.filter(pl.col(BOX[0]).is_not_null() & pl.col("width").is_null()).height:
            records = with_boxes_in(records, "pixels", self.name)
        return Reading(records, notes)

    def _refuse_unknown(self, records: pl.DataFrame) -> None:
        nowhere = "a latitude and a longitude: --location LAT,LON, or columns of places (--details FILE)"
        bad_path = ~pl.col("path").fill_null(pl.col("image")).map_elements(
            lambda path: _FILE_PATH.fullmatch(path) is not None, return_dtype=pl.Boolean
        )
        unnamed = pl.col("species").is_not_null() & pl.col("scientific_name").is_null()
        for bad, why in (
            (pl.col("latitude").is_null(), f"every deployment needs {nowhere}"),
            (pl.col("date").is_null(), "every medium needs a time: --date DATE, or a column date (--details FILE)"),
            (unnamed, f"species go by their scientific names: {TAXA}"),
            (bad_path, "a file's path is relative, without .., and begins with none of . / ~"),
        ):
            refuse_first(
                records,
                bad,
                lambda row, why=why: f"{self.name}: photo {row['path'] or row['image']} ({row['species']}): {why}",  # type: ignore[misc]
            )
        for text in TEXTS:
            refuse_first(
                records,
                pl.col(text).is_in(list(MISSING)),
                lambda row, text=text: (
                    f"{self.name}: photo {row['image']}: {text} '{row[text]}' means an empty cell there"
                ),  # type: ignore[misc]
            )


def _cut_at_edges(records: pl.DataFrame) -> tuple[pl.DataFrame, int]:
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
        lambda row: f"camtrap-dp: photo {row['image']}: its box lies outside of it",
    )
    changed = pl.any_horizontal(pl.col(each) != cut[each] for each in BOX).fill_null(False)
    return cut, int(records.select(changed.sum()).item())


def _tables(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    moments = [moment_of(date) for date in records["date"]]
    photos = records.with_columns(
        pl.Series("start", [moment.start for moment in moments], pl.Datetime("us", "UTC")),
        pl.Series(
            "end",
            [moment.end if len(moment.parts) < 5 else moment.start for moment in moments],
            pl.Datetime("us", "UTC"),
        ),
        pl.Series("exact", [moment.zone is not None for moment in moments]),
        pl.Series("eventStart", [_text(moment.start) for moment in moments]),
        pl.Series("eventEnd", [_text(moment.end if len(moment.parts) < 5 else moment.start) for moment in moments]),
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
        *(pl.col(box).alias(own) for box, own in zip(BOX, _BBOX, strict=True)),
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


def _text(moment: Any) -> str:
    """As the standard writes a time: no fractions, UTC as Z."""
    return str(moment.isoformat(timespec="seconds")).replace("+00:00", "Z")


def _mediatype(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or ""
    return kind if kind.startswith(("image/", "video/")) else "image/x-unknown"


def _exif(size: Mapping[str, int | None]) -> str | None:
    if size["width"] is None or size["height"] is None:
        return None
    return json.dumps({"EXIF": {name: size[side] for side, name in _SIZE.items()}}, separators=(",", ":"))


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
    tags = [f"{key}:{quote(str(value), safe=_SAFE)}" for key, value in told.items() if value is not None]
    return " | ".join(tags) or None


_SAFE = "".join(chr(c) for c in range(32, 127) if chr(c) not in "|%")


def _table(package: Any, table: str, folder: Path, place: Path) -> pl.DataFrame:
    """One of the three tables, by the path that the descriptor gives; all fields are text."""
    resources = package.get("resources") if isinstance(package, dict) else None
    found = [each for each in resources or [] if isinstance(each, dict) and each.get("name") == table]
    path = found[0].get("path") if found else None
    if not isinstance(path, str) or Path(path).is_absolute() or ".." in Path(path).parts or "://" in path:
        raise FinblendError(f"{place}: a Camtrap DP has a resource {table} with a path in its folder")
    frame, name = read_table(folder / path)
    for required in (
        "deploymentID",
        *{"media": ("mediaID", "filePath"), "observations": ("observationType",)}.get(table, ()),
    ):
        pick_column(frame, (required,), name)
    frame = frame.with_columns(pl.all().cast(pl.String).replace(["", "NaN", "nan", "NA"], None))
    absent = [pl.lit(None, pl.String).alias(field) for field in fields(table) if field not in frame.columns]
    return frame.with_columns(absent)


def _record(row: Mapping[str, Any], species: Mapping[str, str]) -> dict[str, Any]:
    pairs = (tag.strip().partition(":") for tag in (row["observationTags"] or "").split("|"))
    tags = {key: unquote(value) for key, _, value in pairs}
    path, image, exif = row["filePath"], row["mediaID"], _read_exif(row["exifData"])
    word = tags.get("species")
    return {
        "image": image,
        "path": path,
        "individual_id": row["individualID"],
        # ours, as long as the scientific name has not been changed
        "species": word if word is not None and species.get(word) == row["scientificName"] else None,
        "scientific_name": row["scientificName"],
        "encounter": row["eventID"],
        "date": _read_date(row["timestamp"], tags.get("date")),
        "latitude": row["latitude"],
        "longitude": row["longitude"],
        "location": row["locationName"] or row["locationID"],
        **{box: row[own] for box, own in zip(BOX, _BBOX, strict=True)},
        **{side: exif.get(name) for side, name in _SIZE.items()},
        "split": tags.get("split"),
        "band": tags.get("band"),
        "probability": (row["classificationProbability"] if "band" in tags else None) or tags.get("probability"),
    }


def _read_exif(text: str | None) -> dict[str, Any]:
    try:
        exif = json.loads(text or "{}")
    except ValueError:
        return {}
    inner = exif.get("EXIF", exif) if isinstance(exif, dict) else {}
    return inner if isinstance(inner, dict) else {}


def _read_date(timestamp: str | None, tagged: str | None) -> str | None:
    """The date as it was known, where the timestamp still begins it."""
    if tagged is None or timestamp is None:
        return timestamp
    try:
        same = moment_of(tagged).start == moment_of(timestamp).start
    except ValueError:
        return timestamp
    return tagged if same else timestamp
