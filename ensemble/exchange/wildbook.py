"""Wildbook's bulk import sheet (docs.wildme.org, "Bulk import"; the fields as its BulkValidator knows them)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl

from cv.errors import FinblendError, shown
from cv.files import folder_written_beside, refuse_no_folder, written_beside
from ensemble.exchange.contract import Reading, Stated
from ensemble.exchange.dates import moment_of
from ensemble.exchange.records import records_from, refuse_first
from ensemble.exchange.sheets import write_sheets
from ensemble.exchange.taxa import taxa_wanted
from ensemble.exchange.wildbook_reading import DATE_PARTS, OWN, OWN_COLUMNS, read_photos

# Wildbook's advice for one sheet
ROWS = 200
# photos that are one row: one animal, at one time and place
_ENCOUNTER = ("encounter", "individual_id", "scientific_name", "date", "latitude", "longitude", "location")


@dataclass(frozen=True)
class Wildbook:
    """A row is what Wildbook calls an encounter: one animal at one time and place, with all its photos.

    finblend's encounter, photos taken together, is Wildbook's sighting. Photos without a name or an encounter have a
    row each. What a blend answered is `unapproved`, with its probability among the comments.
    """

    name: str = "wildbook"

    def refuse_place(self, place: Path) -> None:
        """Wants an `.xlsx`, or a folder."""
        if place.suffix and place.suffix.lower() != ".xlsx":
            raise FinblendError(f"{place}: {self.name} is written to a file *.xlsx, or to a folder of such sheets")

    def write(self, records: pl.DataFrame, place: Path, stated: Stated) -> list[str]:
        """Write one sheet, or a folder of sheets of 200 rows."""
        self._refuse_unknown(records, stated)
        records = records.with_row_index("row").with_columns(
            mediaAsset=pl.col("path").fill_null(pl.col("image")).str.replace_all(r"^.*/", ""),
            sightingID=_sightings(records["encounter"]),
        )
        shared = "another photo's file is called so, too, and Wildbook wants all files of an import in one folder"
        refuse_first(records, pl.col("mediaAsset").is_duplicated(), self.name, shared, "mediaAsset")
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
        """Read a sheet, or a folder of sheets, ours or anybody's; photos of several individuals are left out."""
        if place.suffix.lower() == ".xlsx":
            files = [place]
        else:
            refuse_no_folder(place, "an .xlsx file or a folder of them")
            # others are what Excel and macOS leave beside open files
            files = sorted(place.glob("[!.~]*.xlsx"))
        rows = [row for file in files for row in read_photos(file)]
        if not rows:
            raise FinblendError(f"{place}: has no photo: no column Encounter.mediaAsset0 with a name in it")
        who: dict[str, set[str | None]] = defaultdict(set)
        for row in rows:
            who[row["image"]].add(row["individual_id"])
        several = {image for image, names in who.items() if len(names) > 1}
        rows = [row for row in rows if row["image"] not in several]
        # ours are told in their old order, others' as they stand
        if all(isinstance(row.get("row"), int) for row in rows):
            rows.sort(key=lambda row: int(row["row"]))
        notes = [f"left out: {len(several)} photos of several individuals"] if several else []
        return Reading(records_from(rows, str(place)), notes)

    def _refuse_unknown(self, records: pl.DataFrame, stated: Stated) -> None:
        nowhere = pl.col("latitude").is_null() & pl.col("location").is_null() & pl.lit(stated.location_id is None)
        needs = [
            (pl.col("scientific_name").is_null(), "genus and epithet", taxa_wanted(records)),
            (pl.col("date").is_null(), "the year", "--date YYYY, or a column date (--details FILE)"),
            (nowhere, "a place", "--location TEXT|LAT,LON or --location-id ID, or columns of places (--details FILE)"),
        ]
        for missing, what, flag in needs:
            refuse_first(records, missing, self.name, f"Wildbook needs {what}: {flag}")


def _sightings(encounters: pl.Series) -> pl.Series:
    """Encounters as Wildbook writes sightings: letters, digits, - and _, and still different ones."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for encounter in encounters.drop_nulls().unique(maintain_order=True):
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", encounter)
        tries = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        ids[encounter] = next(each for each in tries if each not in taken)
        taken.add(ids[encounter])
    return encounters.replace_strict(ids, default=None, return_dtype=pl.String)


def _encounters(records: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """Photos by row of the sheet, in the order of their first ones."""
    found: dict[object, list[dict[str, Any]]] = {}
    for number, row in enumerate(records.iter_rows(named=True)):
        together = row["encounter"] is not None and row["individual_id"] is not None
        key = tuple(row[each] for each in (*_ENCOUNTER, "split", "band")) if together else number
        found.setdefault(key, []).append(row)
    return list(found.values())


def _notes(records: pl.DataFrame, rows: Sequence[object], place: Path) -> list[str]:
    notes = [f"rows: {len(rows)}; photos of one animal in one encounter share one"]
    if place.suffix and len(rows) > ROWS:
        notes.append(f"Wildbook advises at most {ROWS} rows a sheet: give a folder as -o")
    strange = records.filter(pl.col("mediaAsset").str.contains(r"[^A-Za-z0-9. ]"))["mediaAsset"]
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
    photos = [photo for together in rows for photo in together]
    own = [column for column in OWN_COLUMNS if any(photo[column] is not None for photo in photos)]
    second = ([photo[column] for column in own] for photo in photos)
    write_sheets(path, {"Encounters": (header, first), OWN: (own, second)})


def _row(photos: Sequence[Mapping[str, Any]], stated: Stated) -> dict[str, object]:
    photo = photos[0]
    genus, _, epithet = photo["scientific_name"].partition(" ")
    date = dict(zip(DATE_PARTS, moment_of(photo["date"]).parts, strict=False))
    least = min((each["probability"] for each in photos if each["probability"] is not None), default=None)
    comment = None
    if photo["band"] is not None:
        comment = f"finblend: {photo['band']}" + ("" if least is None else f", probability {least:.4f}")
    return {
        **{f"Encounter.mediaAsset{number}": each["mediaAsset"] for number, each in enumerate(photos)},
        "Encounter.genus": genus,
        "Encounter.specificEpithet": epithet,
        # the documentation prefers it to Encounter.individualID, of which it is a synonym
        "MarkedIndividual.individualID": photo["individual_id"],
        **{f"Encounter.{part}": date.get(part) for part in DATE_PARTS},
        "Encounter.decimalLatitude": photo["latitude"],
        "Encounter.decimalLongitude": photo["longitude"],
        "Encounter.verbatimLocality": photo["location"],
        "Encounter.locationID": stated.location_id,
        "Encounter.sightingID": photo["sightingID"],
        "Encounter.submitterID": stated.submitter,
        "Encounter.state": "unapproved" if photo["split"] == "test" else None,
        "Encounter.researcherComments": comment,
    }
