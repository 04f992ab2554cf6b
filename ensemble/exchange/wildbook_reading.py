"""Read Wildbook's bulk import sheets, with what finblend's own second sheet adds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from ensemble.exchange.dates import moment_of
from ensemble.exchange.records import BOX, text_of
from ensemble.exchange.sheets import read_sheets
from ensemble.outputs.bands import BANDS

# the second sheet: what the first has no column for; Wildbook reads the first alone
OWN = "finblend"
_TOLD = ("individual_id", "species", "scientific_name", "encounter", "date")
_ADDED = (*BOX, "width", "height", "split", "band", "probability")
OWN_COLUMNS = ("row", "mediaAsset", "sightingID", "image", "path", *_TOLD, *_ADDED)
DATE_PARTS = ("year", "month", "day", "hour", "minutes")
# what the first sheet says of a blend's answer, should the second be lost
_ANSWER = re.compile(rf"finblend: ({'|'.join(BANDS)})(?:, probability ([\d.]+))?")
_MEDIA = re.compile(r"encounter\.mediaasset(\d+)", re.I)


def read_photos(file: Path) -> Iterator[dict[str, Any]]:
    """A record a photo; what the second sheet adds is believed where the first still says the same."""
    first, second = read_sheets(file, OWN)
    own = {text_of(row.get("mediaAsset")): row for row in second.values()}
    for number, row in first.items():
        cells = {name.lower(): value for name, value in row.items()}
        media = {int(found[1]): text_of(value) for name, value in row.items() if (found := _MEDIA.fullmatch(name))}
        told = _encounter(cells, f"{file}: row {number}")
        for each in (media[place] for place in sorted(media)):
            if each is not None:
                yield {**told, "image": each, **(_added(told, own[each]) if each in own else {})}


def _encounter(cells: Mapping[str, Any], where: str) -> dict[str, Any]:
    def first(*names: str) -> Any:
        return next((cells[name.lower()] for name in names if name.lower() in cells), None)

    individual = first("MarkedIndividual.individualID", "Encounter.individualID")
    if isinstance(individual, date):
        raise FinblendError(
            f"{where}: individualID {individual:%Y-%m-%d}: Excel has made a date of a name; enter it as text again"
        )
    scientific = [text_of(first(f"Encounter.{part}")) for part in ("genus", "specificEpithet")]
    answer = _ANSWER.match(text_of(first("Encounter.researcherComments")) or "")
    return {
        "individual_id": text_of(individual),
        "scientific_name": " ".join(part for part in scientific if part) or None,
        "encounter": text_of(first("Encounter.sightingID", "Sighting.sightingID", "Encounter.occurrenceID")),
        "date": _date([first(f"Encounter.{part}", f"Sighting.{part}") for part in DATE_PARTS], where)
        or _from_milliseconds(first("Encounter.dateInMilliseconds"), where),
        "latitude": first("Encounter.decimalLatitude", "Encounter.latitude", "Sighting.decimalLatitude"),
        "longitude": first("Encounter.decimalLongitude", "Encounter.longitude", "Sighting.decimalLongitude"),
        "location": text_of(first("Encounter.verbatimLocality", "Encounter.locationID")),
        **({"split": "test", "band": answer[1], "probability": answer[2]} if answer else {}),
    }


def _date(cells: Sequence[Any], where: str) -> str | None:
    """ISO 8601 from year, month, day, hour and minutes, up to the first that is empty; an hour needs its minutes."""
    numbers: list[int] = []
    for part, cell in zip(DATE_PARTS, cells, strict=True):
        if cell is None:
            break
        number = _number(cell)
        if not number.is_integer() or (part == "year" and not 1000 <= number <= 9999):
            wanted = "a year of four digits" if part == "year" else "a whole number"
            raise FinblendError(f"{where}: Encounter.{part} '{cell}': must be {wanted}")
        numbers.append(int(number))
    if not numbers:
        return None
    day = "-".join(f"{number:0{4 if n == 0 else 2}d}" for n, number in enumerate(numbers[:3]))
    return f"{day}T{numbers[3]:02d}:{numbers[4]:02d}" if len(numbers) == 5 else day


def _number(cell: Any) -> float:
    """A cell's number; NaN where it is none, as a date or a time."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def _from_milliseconds(cell: Any, where: str) -> str | None:
    """Milliseconds since 1970, of a sheet that has no year."""
    if cell is None:
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=_number(cell))
    except (ValueError, OverflowError):
        raise FinblendError(f"{where}: Encounter.dateInMilliseconds '{cell}': must be a date's number") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _added(told: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    added: dict[str, Any] = {each: own.get(each) for each in ("row", *BOX, "width", "height", "split")}
    added |= {"band": None, "probability": None}
    added |= {each: text_of(own[each]) for each in ("image", "path") if each in own}
    if text_of(own.get("scientific_name")) == told["scientific_name"]:
        added["species"] = text_of(own.get("species"))
    if "encounter" in own and text_of(own.get("sightingID")) == told["encounter"]:
        added["encounter"] = text_of(own["encounter"])
    known = text_of(own.get("date"))
    if known is not None and told["date"] is not None:
        try:
            same = moment_of(known).parts[: len(DATE_PARTS)] == moment_of(told["date"]).parts
        except ValueError:
            same = False
        added |= {"date": known} if same else {}
    if text_of(own.get("individual_id")) == told["individual_id"]:
        added |= {each: own.get(each) for each in ("band", "probability")}
    return added
