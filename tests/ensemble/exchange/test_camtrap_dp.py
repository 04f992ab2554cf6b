"""Camtrap DP: valid by frictionless, required metadata there, other people's packages read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from examples import examples
from exchanged import records
from hypothesis import given

from cv.errors import FinblendError
from ensemble.exchange.camtrap_check import problems
from ensemble.exchange.camtrap_dp import CamtrapDp
from ensemble.exchange.camtrap_schemas import TABLES, fields
from ensemble.exchange.contract import Stated
from ensemble.exchange.records import checked

FORM = CamtrapDp()


def two() -> pl.DataFrame:
    rows: dict[str, list[Any]] = {
        "image": ["a.jpg", "b.jpg"],
        "individual_id": ["id1", None],
        "species": ["beluga", None],
        "scientific_name": ["Delphinapterus leucas", None],
        "encounter": ["e1", None],
        "date": ["2021-02", "2021-03-04T10:30:00+02:00"],
        "latitude": [10.0, 10.0],
        "longitude": [-5.5, -5.5],
        "box_x": [100.0, None],
        "box_y": [50.0, None],
        "box_width": [200.0, None],
        "box_height": [100.0, None],
        "width": [400, None],
        "height": [200, None],
        "split": ["train", "test"],
        "band": [None, "new"],
        "probability": [None, 0.75],
    }
    return checked(pl.DataFrame(rows), "two")


def written(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {table: pl.read_csv(folder / f"{table}.csv", infer_schema=False).to_dicts() for table in TABLES}


def test_a_package_by_hand(tmp_path: Path) -> None:
    FORM.write(two(), tmp_path / "P", Stated())
    assert problems(tmp_path / "P") == []
    tables = written(tmp_path / "P")
    assert list(tables["observations"][0]) == fields("observations")
    (deployment,) = tables["deployments"]
    assert deployment["deploymentStart"] == "2021-02-01T00:00:00Z"
    assert deployment["deploymentEnd"] == "2021-03-04T08:30:00Z"
    assert deployment["timestampIssues"] == "true"
    first, second = tables["observations"]
    assert [first[each] for each in ("bboxX", "bboxY", "bboxWidth", "bboxHeight")] == ["0.25", "0.25", "0.5", "0.5"]
    assert (first["individualID"], first["eventID"], first["classificationProbability"]) == ("id1", "e1", None)
    assert (first["eventStart"], first["eventEnd"]) == ("2021-02-01T00:00:00Z", "2021-02-28T23:59:59Z")
    assert second["eventStart"] == second["eventEnd"] == "2021-03-04T10:30:00+02:00"
    # a probability of somebody new is no certainty of a name
    assert second["classificationProbability"] is None
    assert second["observationTags"] == "finblend_split:test | finblend_band:new | finblend_probability:0.75"
    assert second["classificationMethod"] == "machine"
    assert json.loads(tables["media"][0]["exifData"]) == {"EXIF": {"PixelXDimension": 400, "PixelYDimension": 200}}


def test_the_descriptor_has_what_the_profile_requires(tmp_path: Path) -> None:
    metadata = {"title": "Ours", "contributors": [{"title": "Ann"}], "project": {"samplingDesign": "targeted"}}
    notes = FORM.write(two(), tmp_path / "P", Stated(metadata=metadata))
    package = json.loads((tmp_path / "P" / "datapackage.json").read_text())
    assert {"resources", "profile", "created", "contributors", "project", "spatial", "temporal", "taxonomic"} < set(
        package
    )
    assert package["profile"].endswith("/camtrap-dp/1.0/camtrap-dp-profile.json")
    assert [each["name"] for each in package["resources"]] == ["deployments", "media", "observations"]
    assert all("/1.0/" in each["schema"] for each in package["resources"])
    assert package["project"] == {
        "title": "Photo-identification catalogue",
        "samplingDesign": "targeted",
        "captureMethod": ["activityDetection"],
        "individualAnimals": True,
        "observationLevel": ["media"],
    }
    assert package["temporal"] == {"start": "2021-02-01", "end": "2021-03-04"}
    assert package["contributors"] == [{"title": "Ann"}]
    (granted,) = [note for note in notes if note.startswith("taken for granted")]
    assert "captureMethod" in granted
    assert "samplingDesign" not in granted


@given(drawn=records())
@examples(3)
def test_frictionless_finds_nothing(drawn: pl.DataFrame) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        # it refuses what frictionless finds
        FORM.write(drawn, Path(folder) / "P", Stated())


def test_frictionless_finds_what_is_planted(tmp_path: Path) -> None:
    FORM.write(two(), tmp_path / "P", Stated())
    for table, old, new in (
        ("observations", "0.25,0.25,0.5", "1.25,0.25,0.5"),
        ("media", "a.jpg,d1", "a.jpg,d2"),
        ("deployments", "10.0", "north"),
    ):
        path = tmp_path / "P" / f"{table}.csv"
        right = path.read_text()
        path.write_text(right.replace(old, new, 1))
        assert problems(tmp_path / "P"), table
        path.write_text(right)
    assert problems(tmp_path / "P") == []


def test_boxes_are_cut_at_the_edge_of_their_photo(tmp_path: Path) -> None:
    wide = two().with_columns(box_x=pl.Series([-20.0, None]), box_width=pl.Series([440.0, None]))
    assert "boxes cut at the edge of their photo: 1" in FORM.write(wide, tmp_path / "P", Stated())
    assert FORM.read(tmp_path / "P").records.row(0, named=True)["box_width"] == 400.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"latitude": None, "longitude": None},
            "every deployment needs a latitude and a longitude: --location LAT,LON",
        ),
        ({"date": None}, "every medium needs a time: --date DATE"),
        ({"scientific_name": None, "species": "nyala"}, "(nyala): species go by their scientific names: --taxa FILE"),
        ({"path": "../a.jpg"}, "a file's path is relative"),
        ({"path": "/photos/a.jpg"}, "begins with none of . / ~"),
        ({"individual_id": "nan"}, "individual_id 'nan': means an empty cell"),
        ({"width": None}, "its width and height are not known: give --images DIR"),
    ],
)
def test_what_the_standard_requires_is_asked_for(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    first = {**two().row(0, named=True), **change}
    broken = checked(pl.DataFrame([first], schema=two().schema), "broken")
    with pytest.raises(FinblendError, match=r"photo .*a\.jpg") as refused:
        FORM.write(broken, tmp_path / "P", Stated())
    assert said in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_anybodys_package_is_read(tmp_path: Path) -> None:
    package = {"resources": [{"name": table, "path": f"{table}.csv"} for table in TABLES]}
    (tmp_path / "datapackage.json").write_text(json.dumps(package))
    (tmp_path / "deployments.csv").write_text("deploymentID,latitude,longitude,locationID\nd,1.5,2.5,pond\n")
    lines = [
        "mediaID,deploymentID,timestamp,filePath",
        *(f"m{n},d,2020-01-0{n}T00:00:00Z,x/{n}.jpg" for n in (1, 2, 3)),
    ]
    (tmp_path / "media.csv").write_text("\n".join(lines) + "\n")
    header = "observationID,deploymentID,mediaID,observationType,scientificName,individualID,"
    header += "bboxX,bboxY,bboxWidth,bboxHeight"
    rows = [
        "o1,d,m1,animal,Panthera leo,Leo,0.25,0.25,0.5,0.5",
        "o2,d,m2,animal,Panthera leo,Leo,,,,",
        "o3,d,m2,animal,Panthera leo,Lea,,,,",
        "o4,d,m3,blank,,,,,,",
        "o5,d,,animal,Panthera leo,Leo,,,,",
    ]
    (tmp_path / "observations.csv").write_text("\n".join([header, *rows]) + "\n")
    reading = FORM.read(tmp_path)
    assert reading.notes == [
        "left out: 2 observations of no animal or of no photo",
        "left out: 1 photos of several individuals",
    ]
    (record,) = reading.records.to_dicts()
    told = {key: value for key, value in record.items() if value is not None}
    assert told == {
        "image": "m1",
        "path": "x/1.jpg",
        "individual_id": "Leo",
        "scientific_name": "Panthera leo",
        "date": "2020-01-01T00:00:00Z",
        "latitude": 1.5,
        "longitude": 2.5,
        "location": "pond",
        "box_x": 0.25,
        "box_y": 0.25,
        "box_width": 0.5,
        "box_height": 0.5,
    }


def test_a_name_that_was_changed_elsewhere_is_believed(tmp_path: Path) -> None:
    FORM.write(two(), tmp_path / "P", Stated())
    path = tmp_path / "P" / "observations.csv"
    path.write_text(path.read_text().replace("Delphinapterus leucas", "Orcinus orca").replace("id1", "id9"))
    media = tmp_path / "P" / "media.csv"
    media.write_text(media.read_text().replace("2021-02-01T00:00:00Z", "2021-02-07T00:00:00Z"))
    first = FORM.read(tmp_path / "P").records.row(0, named=True)
    assert (first["individual_id"], first["species"], first["scientific_name"]) == ("id9", None, "Orcinus orca")
    assert first["date"] == "2021-02-07T00:00:00Z"


def test_an_archive_is_told_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "p.zip").touch()
    with pytest.raises(FinblendError, match=r"p\.zip: is an archive; unpack it, and give the folder"):
        FORM.read(tmp_path / "p.zip")


@pytest.mark.parametrize("path", ["/etc/passwd", "../media.csv", "https://x.org/media.csv", None])
def test_no_path_leads_out_of_the_package(tmp_path: Path, path: str | None) -> None:
    FORM.write(two(), tmp_path / "P", Stated())
    place = tmp_path / "P" / "datapackage.json"
    package = json.loads(place.read_text())
    package["resources"][1]["path"] = path
    place.write_text(json.dumps(package))
    with pytest.raises(FinblendError, match="a resource media with a path in its folder"):
        FORM.read(tmp_path / "P")


def test_without_frictionless_the_install_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "frictionless", None)
    with pytest.raises(FinblendError, match=r"frictionless is needed .* pip install 'finblend\[exchange\]'"):
        FORM.write(two(), tmp_path / "P", Stated())
    assert list(tmp_path.iterdir()) == []
