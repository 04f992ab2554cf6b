"""Wildbook's sheet: a row an animal and time, text that stays text, other people's sheets read."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest

from cv.errors import FinblendError
from ensemble.exchange.contract import Stated
from ensemble.exchange.import_from import table_of
from ensemble.exchange.records import checked
from ensemble.exchange.wildbook import ROWS, Wildbook

FORM = Wildbook()


def photos(number: int = 4, **columns: list[Any]) -> pl.DataFrame:
    told: dict[str, Any] = {
        "image": [f"{n}.jpg" for n in range(number)],
        "species": ["killer_whale"] * number,
        "scientific_name": ["Orcinus orca"] * number,
        "date": ["2021-05-03T10:30:00"] * number,
        "location": ["the bay"] * number,
        **columns,
    }
    return checked(pl.DataFrame(told), "photos")


def sheet(path: Path) -> list[dict[str, Any]]:
    header, *rows = openpyxl.load_workbook(path).worksheets[0].iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_sheet_by_hand(tmp_path: Path) -> None:
    records = photos(individual_id=["A", "A", "B", None], encounter=["e/1", "e/1", "e/1", "e/1"])
    notes = FORM.write(records, tmp_path / "s.xlsx", Stated(submitter="ann", location_id="Bay 5"))
    common = {
        "Encounter.genus": "Orcinus",
        "Encounter.specificEpithet": "orca",
        "Encounter.year": 2021,
        "Encounter.month": 5,
        "Encounter.day": 3,
        "Encounter.hour": 10,
        "Encounter.minutes": 30,
        "Encounter.verbatimLocality": "the bay",
        "Encounter.locationID": "Bay 5",
        "Encounter.sightingID": "e_1",
        "Encounter.submitterID": "ann",
    }
    names = ("Encounter.mediaAsset0", "Encounter.mediaAsset1", "MarkedIndividual.individualID")
    own = [("0.jpg", "1.jpg", "A"), ("2.jpg", None, "B"), ("3.jpg", None, None)]
    assert sheet(tmp_path / "s.xlsx") == [{**dict(zip(names, each, strict=True)), **common} for each in own]
    assert notes[0].startswith("rows: 3;")


def test_columns_without_data_are_left_out(tmp_path: Path) -> None:
    FORM.write(photos(1), tmp_path / "s.xlsx", Stated())
    (row,) = sheet(tmp_path / "s.xlsx")
    assert None not in row.values()
    assert "MarkedIndividual.individualID" not in row


def test_what_begins_like_a_formula_is_text(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@x", "#N/A"]
    FORM.write(photos(5, individual_id=names), tmp_path / "s.xlsx", Stated())
    cells = openpyxl.load_workbook(tmp_path / "s.xlsx").worksheets[0]["D"][1:]
    assert [(cell.value, cell.data_type) for cell in cells] == [(name, "s") for name in names]


def test_encounters_that_are_written_alike_stay_two(tmp_path: Path) -> None:
    FORM.write(photos(3, encounter=["e/1", "e_1", "e 1"]), tmp_path / "s.xlsx", Stated())
    assert [row["Encounter.sightingID"] for row in sheet(tmp_path / "s.xlsx")] == ["e_1", "e_1-2", "e_1-3"]


def test_what_a_blend_answered_is_not_approved(tmp_path: Path) -> None:
    asked = {"split": ["train", "test"], "band": [None, "auto"], "probability": [None, 0.97512]}
    FORM.write(photos(2, individual_id=["A", "B"], **asked), tmp_path / "s.xlsx", Stated())
    first, second = sheet(tmp_path / "s.xlsx")
    assert (first["Encounter.state"], first["Encounter.researcherComments"]) == (None, None)
    assert second["Encounter.state"] == "unapproved"
    assert second["Encounter.researcherComments"] == "finblend: auto, probability 0.9751"


def test_a_folder_holds_sheets_of_two_hundred_rows(tmp_path: Path) -> None:
    many = photos(ROWS + 1)
    FORM.write(many, tmp_path / "sheets", Stated())
    assert [len(sheet(path)) for path in sorted((tmp_path / "sheets").iterdir())] == [ROWS, 1]
    notes = FORM.write(many, tmp_path / "one.xlsx", Stated())
    assert any("at most 200 rows a sheet" in note for note in notes)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"scientific_name": [None], "species": ["nyala"]},
            "photo 0.jpg (nyala): Wildbook needs genus and epithet: --taxa FILE "
            "(species,genus,specificEpithet) with nyala",
        ),
        ({"date": [None]}, "Wildbook needs the year: --date YYYY"),
        ({"location": [None]}, "Wildbook needs a place: --location TEXT|LAT,LON"),
    ],
)
def test_what_wildbook_requires_is_asked_for(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(FinblendError) as refused:
        FORM.write(photos(1, **columns), tmp_path / "s.xlsx", Stated())
    assert said in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = photos(2, path=["a/x.jpg", "b/x.jpg"])
    with pytest.raises(FinblendError, match=r"photo 0.jpg .*: mediaAsset 'x.jpg': another photo's file"):
        FORM.write(twice, tmp_path / "s.xlsx", Stated())


def foreign(path: Path, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_anybodys_sheet_is_read(tmp_path: Path) -> None:
    header = ["Encounter.MediaAsset0", "Encounter.MediaAsset1", "Encounter.individualID", "Encounter.genus"]
    header += ["Encounter.specificEpithet", "Encounter.year", "Encounter.month", "Encounter.decimalLatitude"]
    header += ["Encounter.decimalLongitude", "Sighting.sightingID", "Encounter.locationID", "Encounter.sex"]
    rows = [["a.jpg", "b.jpg", 12, "Panthera", "pardus", 2020, 8, -35.5, 54.25, "S1", "Zone 5", "male"], [None] * 12]
    records = FORM.read(foreign(tmp_path / "s.xlsx", [header, *rows])).records
    assert records["image"].to_list() == ["a.jpg", "b.jpg"]
    first = {key: value for key, value in records.row(0, named=True).items() if value is not None}
    assert first == {
        "image": "a.jpg",
        "individual_id": "12",
        "scientific_name": "Panthera pardus",
        "encounter": "S1",
        "date": "2020-08",
        "latitude": -35.5,
        "longitude": 54.25,
        "location": "Zone 5",
    }


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["a.jpg", "soon"], "row 3: Encounter.year 'soon': must be a year of four digits"),
        (["a.jpg", 21], "Encounter.year '21': must be a year of four digits"),
        (["a.jpg", datetime(2020, 5, 3)], "Encounter.year '2020-05-03 00:00:00': must be a year of four digits"),
        (["a.jpg", 2020, 5.5], "Encounter.month '5.5': must be a whole number"),
        (["a.jpg", 2020, 5, datetime(2020, 9, 2)], "row 3: individualID 2020-09-02: Excel has made a date of a name"),
        (["a.jpg", 2020, 5, "#REF!"], "sheet Sheet: cell D3 '#REF!': is the error of a formula"),
        (["a.jpg", 2020, 13], "photo 1 (a.jpg): date '2020-13': a date is"),
        ([None, 2020], "has no photo"),
    ],
    ids=str,
)
def test_a_sheet_that_cannot_be_is_refused(tmp_path: Path, cells: list[Any], said: str) -> None:
    header = ["Encounter.mediaAsset0", "Encounter.year", "Encounter.month", "Encounter.individualID"]
    with pytest.raises(FinblendError) as refused:
        # a row without anything counts, as it does in Excel
        FORM.read(foreign(tmp_path / "s.xlsx", [header, [], cells]))
    assert said in str(refused.value)


def test_cells_that_say_less_than_they_show_are_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["Encounter.mediaAsset0", "Encounter.individualID"], ["a.jpg", "A"], ["b.jpg", None]):
        book.active.append(row)
    book.active.merge_cells("B2:B3")
    book.save(tmp_path / "s.xlsx")
    with pytest.raises(FinblendError, match="sheet Sheet: cells B2:B3 are merged; each row needs its own value"):
        FORM.read(tmp_path / "s.xlsx")
    header = ["Encounter.mediaAsset0", "Encounter.individualID", "encounter.individualid"]
    with pytest.raises(FinblendError, match=r"column encounter\.individualid stands twice"):
        FORM.read(foreign(tmp_path / "s.xlsx", [header, ["a.jpg", "A", "B"]]))


def test_photos_of_several_individuals_are_left_out_of_a_folder_of_sheets(tmp_path: Path) -> None:
    header = ["Encounter.mediaAsset0", "Encounter.individualID"]
    foreign(tmp_path / "1.xlsx", [header, ["a.jpg", "A"], ["b.jpg", "A"]])
    foreign(tmp_path / "2.xlsx", [header, ["a.jpg", "B"]])
    # what Excel leaves beside a sheet that is open
    (tmp_path / "~$1.xlsx").write_bytes(b"\x05Ann")
    reading = FORM.read(tmp_path)
    assert reading.records["image"].to_list() == ["b.jpg"]
    assert reading.notes == ["left out: 1 photos of several individuals"]


def test_a_date_may_be_in_milliseconds(tmp_path: Path) -> None:
    rows = [["Encounter.mediaAsset0", "Encounter.dateInMilliseconds"], ["a.jpg", 1516685992499]]
    assert FORM.read(foreign(tmp_path / "s.xlsx", rows)).records["date"].to_list() == ["2018-01-23T05:39:52Z"]


def test_a_text_file_is_no_sheet(tmp_path: Path) -> None:
    (tmp_path / "s.xlsx").write_text("Encounter.mediaAsset0\n")
    with pytest.raises(FinblendError, match=r"s\.xlsx: cannot be read as \.xlsx"):
        FORM.read(tmp_path / "s.xlsx")


def test_what_was_changed_in_the_first_sheet_is_believed(tmp_path: Path) -> None:
    asked = {"split": ["test"], "band": ["auto"], "probability": [0.9], "encounter": ["e/1"], "individual_id": ["A"]}
    FORM.write(photos(1, **asked), tmp_path / "s.xlsx", Stated())
    book = openpyxl.load_workbook(tmp_path / "s.xlsx")
    first = book.worksheets[0]
    columns = {cell.value: cell.column for cell in first[1]}
    for name, value in (
        ("MarkedIndividual.individualID", "B"),
        ("Encounter.sightingID", "S9"),
        ("Encounter.year", 2019),
    ):
        first.cell(2, columns[name]).value = value
    book.save(tmp_path / "s.xlsx")
    record = FORM.read(tmp_path / "s.xlsx").records.row(0, named=True)
    assert (record["individual_id"], record["encounter"], record["date"]) == ("B", "S9", "2019-05-03T10:30")
    # the blend did not say so, but a person: it is a label
    assert (record["band"], record["probability"]) == (None, None)
    assert table_of(FORM.read(tmp_path / "s.xlsx").records)["individual_id"].to_list() == ["B"]


def test_a_blends_name_is_no_label_without_the_second_sheet(tmp_path: Path) -> None:
    asked = {"split": ["test"], "band": ["auto"], "probability": [0.9], "individual_id": ["A"]}
    FORM.write(photos(1, **asked), tmp_path / "s.xlsx", Stated())
    book = openpyxl.load_workbook(tmp_path / "s.xlsx")
    book.remove(book.worksheets[1])
    book.save(tmp_path / "s.xlsx")
    row = table_of(FORM.read(tmp_path / "s.xlsx").records).row(0, named=True)
    assert (row["individual_id"], row["name"], row["band"], row["probability"]) == (None, "A", "auto", 0.9)


def test_without_openpyxl_the_install_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(FinblendError, match=r"openpyxl is needed .* pip install 'finblend\[exchange\]'"):
        FORM.write(photos(1), tmp_path / "s.xlsx", Stated())
    assert list(tmp_path.iterdir()) == []
