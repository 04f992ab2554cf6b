"""Capture histories: which individual was seen on which occasion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from cv.errors import FinblendError
from ensemble.exchange.dates import moment_of

# how many parts of a date an occasion needs
_PARTS = {"year": 1, "month": 2, "day": 3}
BY_DATE = (*_PARTS, "season")
# metres of the mean radius of the earth (Moritz 2000)
_RADIUS = 6371008.8


@dataclass(frozen=True)
class History:
    """Who was seen when.

    Attributes
    ----------
    individuals : list of str
        Sorted.
    occasions : list of str
        In their order; those on which there is any photo, of whomever.
    seen : (n, k) bool array
    """

    individuals: list[str]
    occasions: list[str]
    seen: np.ndarray

    def __post_init__(self) -> None:
        if self.seen.shape != (len(self.individuals), len(self.occasions)):
            raise ValueError(
                f"seen: {self.seen.shape}, of {len(self.individuals)} individuals and {len(self.occasions)} occasions"
            )


@dataclass(frozen=True)
class Captures:
    """A history, and what it was made of.

    Attributes
    ----------
    history : History
    detections : polars.DataFrame
        `individual, occasion` (indices), `detector` (1, 2, ...), each combination once, sorted.
    detectors : polars.DataFrame or None
        `detector, x, y`: metres east and north of the mean place. None where some photo has no place: then there is
        one detector.
    without_name, without_occasion : int
        Photos that are left out.
    """

    history: History
    detections: pl.DataFrame
    detectors: pl.DataFrame | None
    without_name: int
    without_occasion: int


def needed_column(occasions: str) -> str | None:
    """The column of the tables that occasions are made from, where it is none of the records' own."""
    return None if occasions in {*BY_DATE, "encounter"} else occasions


def history_of(records: pl.DataFrame, occasions: str) -> Captures:
    """Lay records out as a history.

    Parameters
    ----------
    records : polars.DataFrame
        As `records_of` makes them; with a column `extra` where `needed_column` asks for one.
    occasions : str
        `year`, `month`, `season`, `day`: periods of the photos' dates. `encounter`: each encounter, in the order of its
        first date. Else a column's values, numbers in their order.

    Raises
    ------
    FinblendError
        If no photo has both a name and an occasion.
    """
    labelled = records.with_columns(occasion=_occasion(records, occasions))
    labels = _ordered(labelled, occasions)
    counted = labelled.filter(pl.col("individual_id").is_not_null(), pl.col("occasion").is_not_null())
    if counted.is_empty():
        raise FinblendError(
            f"--occasions {occasions}: no photo has both a name and an occasion "
            f"({labelled['occasion'].count()} of {records.height} photos have an occasion)"
        )
    individuals = counted["individual_id"].unique().sort().to_list()
    placed, detectors = _detectors(counted)
    index = {"individual_id": individuals, "occasion": labels}
    numbered = placed.select(
        *(pl.col(c).replace_strict(v, range(len(v)), return_dtype=pl.Int64) for c, v in index.items()), "detector"
    )
    detections = numbered.rename({"individual_id": "individual"}).unique().sort("individual", "occasion", "detector")
    seen = np.zeros((len(individuals), len(labels)), dtype=bool)
    seen[detections["individual"].to_numpy(), detections["occasion"].to_numpy()] = True
    return Captures(
        History(individuals, labels, seen),
        detections,
        detectors,
        without_name=labelled["individual_id"].null_count(),
        without_occasion=labelled.filter(pl.col("individual_id").is_not_null())["occasion"].null_count(),
    )


def _occasion(records: pl.DataFrame, occasions: str) -> pl.Series:
    if occasions == "encounter":
        return records["encounter"]
    if occasions not in BY_DATE:
        # a label is one line
        return records["extra"].str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars().replace("", None)
    return pl.Series([None if date is None else _period(date, occasions) for date in records["date"]], dtype=pl.String)


def _period(date: str, occasions: str) -> str | None:
    """The period of a date, None where it is not said so exactly; times are read as they stand, in their own zone."""
    moment = moment_of(date)
    if occasions == "season":
        return moment.season
    wanted = _PARTS[occasions]
    if len(moment.parts) < wanted:
        return None
    return "-".join(f"{part:0{4 if n == 0 else 2}d}" for n, part in enumerate(moment.parts[:wanted]))


def _ordered(labelled: pl.DataFrame, occasions: str) -> list[str]:
    """Occasions in time, as far as that is known; else numbers by value, and text by letters."""
    there = labelled.filter(pl.col("occasion").is_not_null())
    if occasions == "encounter":
        starts = [None if date is None else moment_of(date).start.timestamp() for date in there["date"]]
        first = there.select("occasion").with_columns(start=pl.Series(starts, dtype=pl.Float64))
        first = first.group_by("occasion").agg(pl.col("start").min())
        return first.sort("start", "occasion", nulls_last=True)["occasion"].to_list()
    labels = there.select(pl.col("occasion").unique()).with_columns(
        number=pl.col("occasion").cast(pl.Float64, strict=False)
    )
    by_value = occasions not in BY_DATE and labels["number"].is_finite().fill_null(False).all()
    return labels.sort(*(["number"] if by_value else []), "occasion")["occasion"].to_list()


def _detectors(counted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Number the places; on a plane that touches the earth near their mean: exact to 0.1 % within some 300 km."""
    place = ("latitude", "longitude", "location")
    if counted["latitude"].null_count():
        return counted.with_columns(detector=pl.lit(1, dtype=pl.Int64)), None
    places = (
        counted.select(place)
        .unique(maintain_order=True)
        .with_columns(detector=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    )
    latitude, longitude = (np.radians(places[each].to_numpy()) for each in place[:2])
    # places on both sides of the date line have their mean on the far side: from the first one on, then
    east = (longitude - longitude[0] + np.pi) % (2 * np.pi) - np.pi
    x = _RADIUS * np.cos(latitude.mean()) * (east - east.mean())
    y = _RADIUS * (latitude - latitude.mean())
    joined = counted.join(places, on=place, how="left", nulls_equal=True, maintain_order="left")
    return joined, places.select("detector", x=pl.Series(x.round(1)), y=pl.Series(y.round(1)))
