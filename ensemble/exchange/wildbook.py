"""Wildbook's bulk import sheet (docs.wildme.org, "Bulk import"; the fields as its BulkValidator knows them)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from cv.catalogue import NO_SPECIES
from cv.errors import FinblendError, shown
from cv.files import folder_written_beside, refuse_no_folder, written_beside
from ensemble.exchange.contract import Reading, Stated
from ensemble.exchange.dates import moment_of
from ensemble.exchange.records import BOX, checked, refuse_first
from ensemble.exchange.sheets import read_sheets, text_of, write_sheets
from ensemble.exchange.taxa import TAXA

# Wildbook's advice for one sheet
ROWS = 200
# the second sheet: what the first has no column for; Wildbook reads the first alone
OWN = "finblend"
_MEDIA = re.compile(r"encounter\.mediaasset(\d+)", re.I)
_DATE = ("year", "month", "day", "hour", "minutes")
_OWN_COLUMNS = ("image", "path", "individual_id", "species", "scientific_name", "encounter", "date", *BOX)
_OWN_REST = ("width", "height", "split", "band", "probability")
# photos that are one row: one animal, at one time and place
_ENCOUNTER = ("encounter", "individual_id", "scientific_name", "date", "latitude", "longitude", "location")


@dataclass(frozen=True)
class Wildbook:
    """A row is what Wildbook calls an encounter: one animal at one time and place, with all its photos.

    finblend's encounter, photos taken together, is Wildbook's sighting. Photos without a name or an encounter have a row
    each. What a blend answered is `unapproved`, with its probability among the comments.
    """

    name: str = "wildbook"

    def refuse_place(self, place: Path) -> None:
        """Wants an `.xlsx`, or a folder."""
        if place.suffix and place.suffix.lower() != ".xlsx":
            raise FinblendError(f"{place}: {self.name} is written to a file *.xlsx, or to a folder of such sheets")

    def write(self, records: pl.DataFrame, place: Path, stated: Stated) -> list[str]:
        """Write one sheet, or a folder of sheets of 200 rows."""
        self._refuse_unknown(records, stated)
        records = records.with_columns(
            media=pl.col("path").fill_null(pl.col("image")).str.replace_all(r"^.*/", ""),
            sighting=_sightings(records["encounter"]),
        )
        _refuse_shared_files(records)
        rows = _encounters(records)
        notes = _notes(records, rows, place)
        if place.suffix:
            with written_beside(place) as temporary:
                _write(temporary, rows, stated)
            return notes
        with folder_written_beside(place) as folder:
            for number, start in enumerate(range(0, len(rows), ROWS), start=1):
                _write(folder / f"sheet-{number:04d}.xlsx", rows[start : start + ROWS], stated)
        return notes

    def read(self, place: Path) -> Reading:
        """Read a sheet, or a folder of sheets, ours or anybody's."""
        if place.suffix.lower() == ".xlsx":
            files = [place]
        else:
            refuse_no_folder(place, "an .xlsx file or a folder of them")
            files = sorted(place.glob("*.xlsx"))
        rows = [row for file in files for row in _read(file)]
        if not rows:
            raise FinblendError(f"{place}: has no photo: no column Encounter.mediaAsset0 with a name in it")
        return Reading(checked(pl.DataFrame(rows, infer_schema_length=None), str(place)))

    def _refuse_unknown(self, records: pl.DataFrame, stated: Stated) -> None:
        nowhere = pl.col("latitude").is_null() & pl.col("location").is_null() & pl.lit(stated.location_id is None)
        needs = [
            (pl.col("scientific_name").is_null(), "genus and epithet", TAXA),
            (pl.col("date").is_null(), "the year", "--date YYYY, or a column date (--details FILE)"),
            (nowhere, "a place", "--location TEXT|LAT,LON or --location-id ID, or columns of places (--details FILE)"),
        ]
        for missing, what, flag in needs:
            refuse_first(
                records,
                missing,
                lambda row, what=what, flag=flag: (  # type: ignore[misc]
                    f"{self.name}: photo {row['image']} ({row['species'] or NO_SPECIES}): Wildbook needs {what}: {flag}"
                ),
            )


def _sightings(encounters: pl.Series) -> pl.Series:
    """Encounters as Wildbook writes sightings: letters, digits, - and _, and still different ones."""
    ids: dict[str, str] = {}
    for encounter in encounters.drop_nulls().unique(maintain_order=True):
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", encounter)
        number, taken = 1, set(ids.values())
        while (candidate := plain if number == 1 else f"{plain}-{number}") in taken:
            number += 1
        ids[encounter] = candidate
    return encounters.replace_strict(ids, default=None, return_dtype=pl.String)


def _refuse_shared_files(records: pl.DataFrame) -> None:
    refuse_first(
        records,
        pl.col("media").is_duplicated(),
        lambda row: (
            f"wildbook: photo {row['image']}: another photo's file is called {row['media']}, too, and Wildbook "
            "wants all files of an import in one folder"
        ),
    )


def _encounters(records: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """Photos by row of the sheet, in the order of their first ones."""
    found: dict[object, list[dict[str, Any]]] = {}
    for number, row in enumerate(records.iter_rows(named=True)):
        together = row["encounter"] is not None and row["individual_id"] is not None
        key = tuple(row[each] for each in (*_ENCOUNTER, "split", "band")) if together else number
        found.setdefault(key, []).append(row)
    return list(found.values())


def _notes(records: pl.DataFrame, rows: Sequence[object], place: Path) -> list[str]:
    notes = [f"{len(rows)} rows: photos of one animal in one encounter share a row"]
    if place.suffix and len(rows) > ROWS:
        notes.append(f"Wildbook advises at most {ROWS} rows a sheet: give a folder as -o")
    strange = records.filter(pl.col("media").str.contains(r"[^A-Za-z0-9. ]"))["media"]
    if len(strange):
        notes.append(
            f"Wildbook removes all but letters, digits, points and blanks from file names: {shown(strange, 2)}"
        )
    return notes


def _write(path: Path, rows: Sequence[Sequence[Mapping[str, Any]]], stated: Stated) -> None:
    """Both sheets; columns without any data are left out, for Wildbook stumbles over them."""
    told = [_row(photos, stated) for photos in rows]
    media = [f"Encounter.mediaAsset{number}" for number in range(max(map(len, rows)))]
    columns = dict.fromkeys([*media, *told[0]])
    header = [column for column in columns if any(row.get(column) is not None for row in told)]
    first = ([row.get(column) for column in header] for row in told)
    own = ["mediaAsset", "sightingID", *_OWN_COLUMNS, *_OWN_REST]
    second = (
        [photo[{"mediaAsset": "media", "sightingID": "sighting"}.get(column, column)] for column in own]
        for photos in rows
        for photo in photos
    )
    write_sheets(path, {"Encounters": (header, first), OWN: (own, second)})


def _row(photos: Sequence[Mapping[str, Any]], stated: Stated) -> dict[str, object]:
    photo = photos[0]
    genus, _, epithet = photo["scientific_name"].partition(" ")
    date = dict(zip(_DATE, moment_of(photo["date"]).parts, strict=False))
    least = min((each["probability"] for each in photos if each["probability"] is not None), default=None)
    comment = None
    if photo["band"] is not None:
        comment = f"finblend: {photo['band']}" + ("" if least is None else f", probability {least:.4f}")
    return {
        **{f"Encounter.mediaAsset{number}": each["media"] for number, each in enumerate(photos)},
        "Encounter.genus": genus,
        "Encounter.specificEpithet": epithet,
        # the documentation prefers it to Encounter.individualID, of which it is a synonym
        "MarkedIndividual.individualID": photo["individual_id"],
        **{f"Encounter.{part}": date.get(part) for part in _DATE},
        "Encounter.decimalLatitude": photo["latitude"],
        "Encounter.decimalLongitude": photo["longitude"],
        "Encounter.verbatimLocality": photo["location"],
        "Encounter.locationID": stated.location_id,
        "Encounter.sightingID": photo["sighting"],
        "Encounter.submitterID": stated.submitter,
        "Encounter.state": "unapproved" if photo["split"] == "test" else None,
        "Encounter.researcherComments": comment,
    }


def _read(file: Path) -> Iterable[dict[str, Any]]:
    """A record a photo; what the second sheet adds is believed where the first still says the same."""
    sheets = read_sheets(file)
    first = next(iter(sheets.values()), [])
    own = {text_of(row.get("mediaAsset")): row for row in sheets.get(OWN, [])}
    for number, row in enumerate(first, start=2):
        cells = {name.lower(): value for name, value in row.items()}
        media = {int(found[1]): text_of(value) for name, value in row.items() if (found := _MEDIA.fullmatch(name))}
        told = _encounter(cells, f"{file}: row {number}")
        for each in (media[place] for place in sorted(media)):
            if each is not None:
                yield {**told, "image": each, **_added(told, own.get(each, {}))}


def _encounter(cells: Mapping[str, Any], where: str) -> dict[str, Any]:
    def first(*names: str) -> Any:
        return next((cells[name.lower()] for name in names if name.lower() in cells), None)

    scientific = [text_of(first(f"Encounter.{part}")) for part in ("genus", "specificEpithet")]
    return {
        "individual_id": text_of(first("MarkedIndividual.individualID", "Encounter.individualID")),
        "scientific_name": " ".join(part for part in scientific if part) or None,
        "encounter": text_of(first("Encounter.sightingID", "Sighting.sightingID", "Encounter.occurrenceID")),
        "date": _date([first(f"Encounter.{part}", f"Sighting.{part}") for part in _DATE], where),
        "latitude": first("Encounter.decimalLatitude", "Encounter.latitude", "Sighting.decimalLatitude"),
        "longitude": first("Encounter.decimalLongitude", "Encounter.longitude", "Sighting.decimalLongitude"),
        "location": text_of(first("Encounter.verbatimLocality", "Encounter.locationID")),
    }


def _date(cells: Sequence[Any], where: str) -> str | None:
    """ISO 8601 from year, month, day, hour and minutes, up to the first that is empty; an hour needs its minutes."""
    numbers: list[int] = []
    for part, cell in zip(_DATE, cells, strict=True):
        if cell is None:
            break
        try:
            numbers.append(int(float(cell)))
        except (ValueError, OverflowError):
            raise FinblendError(f"{where}: Encounter.{part} '{cell}': must be a whole number") from None
    if not numbers:
        return None
    day = "-".join(f"{number:0{4 if n == 0 else 2}d}" for n, number in enumerate(numbers[:3]))
    return f"{day}T{numbers[3]:02d}:{numbers[4]:02d}" if len(numbers) == 5 else day


def _added(told: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    added: dict[str, Any] = {each: own.get(each) for each in (*BOX, "width", "height", "split")}
    added |= {each: text_of(own.get(each)) for each in ("image", "path", "split") if each in own}
    if text_of(own.get("scientific_name")) == told["scientific_name"]:
        added["species"] = text_of(own.get("species"))
    if "encounter" in own and text_of(own.get("sightingID")) == told["encounter"]:
        added["encounter"] = text_of(own["encounter"])
    date = text_of(own.get("date"))
    if date is not None and told["date"] is not None and _to_the_minute(date) == moment_of(told["date"]).parts:
        added["date"] = date
    if text_of(own.get("individual_id")) == told["individual_id"]:
        added |= {each: own.get(each) for each in ("band", "probability")}
    return added


def _to_the_minute(date: str) -> tuple[int, ...]:
    return moment_of(date).parts[: len(_DATE)]
