"""Camtrap DP 1.0: a Data Package of deployments, media and observations, with `individualID`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cv.errors import FinblendError
from cv.files import folder_written_beside, read_json, write_json
from ensemble.exchange.camtrap_check import refuse_invalid
from ensemble.exchange.camtrap_descriptor import descriptor, taken_for_granted
from ensemble.exchange.camtrap_reading import read_resource, record_of, words_of
from ensemble.exchange.camtrap_schemas import MISSING, TABLES
from ensemble.exchange.camtrap_tables import cut_at_edges, tables_of
from ensemble.exchange.contract import Reading, Stated
from ensemble.exchange.records import BOX, TEXTS, records_from, refuse_first, with_boxes_in
from ensemble.exchange.taxa import taxa_wanted

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
        records, cut = cut_at_edges(with_boxes_in(records, "shares", self.name))
        tables = tables_of(records)
        package = descriptor(records, tables["deployments"], stated.metadata)
        with folder_written_beside(place) as folder:
            for table, frame in tables.items():
                frame.write_csv(folder / f"{table}.csv")
            write_json(folder / "datapackage.json", package)
            refuse_invalid(folder, str(place))
        notes = [f"deployments: {tables['deployments'].height}, a place each, from its first to its last photo"]
        if cut:
            notes.append(f"boxes cut at the edge of their photo: {cut}")
        return notes + taken_for_granted(stated.metadata)

    def read(self, place: Path) -> Reading:
        """Read observations of single animals; those of events, blanks, people and groups are counted and left out."""
        if place.suffix.lower() == ".zip":
            raise FinblendError(f"{place}: is an archive; unpack it, and give the folder")
        package = read_json(place / "datapackage.json" if place.is_dir() else place)
        folder = place if place.is_dir() else place.parent
        deployments, media, observations = (read_resource(package, table, folder, place) for table in TABLES)
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
        words = words_of(package)
        rows = [record_of(row, words) for row in joined.iter_rows(named=True)]
        records = records_from(rows, str(place))
        if not records.filter(pl.col(BOX[0]).is_not_null() & pl.col("width").is_null()).height:
            records = with_boxes_in(records, "pixels", self.name)
        return Reading(records, notes)

    def _refuse_unknown(self, records: pl.DataFrame) -> None:
        nowhere = "a latitude and a longitude: --location LAT,LON, or columns of places (--details FILE)"
        undated = "every medium needs a time: --date DATE, or a column date (--details FILE)"
        bad_path = ~pl.col("path").fill_null(pl.col("image")).map_elements(
            lambda path: _FILE_PATH.fullmatch(path) is not None, return_dtype=pl.Boolean
        )
        unnamed = pl.col("species").is_not_null() & pl.col("scientific_name").is_null()
        for bad, why, column in (
            (pl.col("latitude").is_null(), f"every deployment needs {nowhere}", None),
            (pl.col("date").is_null(), undated, None),
            (unnamed, f"species go by their scientific names: {taxa_wanted(records.filter(unnamed))}", None),
            (bad_path, "a file's path is relative, without .., and begins with none of . / ~", "path"),
            *((pl.col(text).is_in(list(MISSING)), "means an empty cell there", text) for text in TEXTS),
        ):
            refuse_first(records, bad, self.name, why, column)
