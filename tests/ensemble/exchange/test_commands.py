"""export-to and import-from, as they are typed."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image
from refusals import refusal
from small import Small

from cv.errors import FinblendError
from ensemble import decide, export_to, import_from, init
from ensemble.cli import main
from ensemble.project.folder import Project

HEADER = "image,band,name_1,probability_1,photo_1\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with encounters, dates, places and boxes, and decisions about four of its test photos."""
    small = Small(tmp_path)
    table = (
        pl.read_csv(small.train_csv)
        .with_row_index("n")
        .with_columns(
            encounter=pl.format("e/{}", pl.col("n") // 3),
            date=pl.format("2021-0{}-01", pl.col("n") % 4 + 1),
            latitude=pl.col("n") / 4,
            longitude=pl.lit(-10.5),
            bbox=pl.format("[{}, 2, 30, 40]", pl.col("n")),
            width=pl.lit(640),
            height=pl.lit(480),
        )
    )
    table.drop("n").write_csv(small.train_csv)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, encounters="encounter")
    rows = ["te000.jpg,auto,id00,0.99,tr000.jpg", "te001.jpg,review,id01,0.6,tr008.jpg"]
    rows += ["te002.jpg,new,new_individual,0.9,", "te003.jpg,auto,id03,0.95,tr023.jpg"]
    (tmp_path / "d.csv").write_text(HEADER + "\n".join(rows) + "\n")
    details = {"image": small.test_images, "date": ["2021-06-01"] * 12, "latitude": [1.0] * 12, "longitude": [2.0] * 12}
    pl.DataFrame(details).write_csv(tmp_path / "details.csv")
    (tmp_path / "taxa.csv").write_text("species,genus,specificEpithet\nunspecified,Balaenoptera,sp\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(line.split()) == 0
    return capsys.readouterr().out.splitlines()


def test_a_catalogue_comes_back_whole(world: Path) -> None:
    kept = ["image", "individual_id", "species", "encounter", "date", "latitude", "longitude", "width", "height"]
    before = Project.open("P").catalogue.train
    places = {"wildbook": "w.xlsx", "camtrap-dp": "package", "coco": "c.json"}
    for form, place in places.items():
        export_to("P", form, place, split="all", details="details.csv", taxa="taxa.csv")
        import_from(form, place, f"{form}.csv", test=f"{form}-test.csv")
        init(f"P-{form}", train=f"{form}.csv", test=f"{form}-test.csv", encounters="encounter")
        again = Project.open(f"P-{form}").catalogue
        told = [
            frame.select(kept).with_columns(pl.col("latitude", "longitude").cast(pl.Float64)).rows()
            for frame in (again.train, before)
        ]
        assert told[0] == told[1], form
        assert again.test_images == [f"te{n:03d}.jpg" for n in range(12)]
        assert again.train["bbox"][3] == "[3.0, 2.0, 30.0, 40.0]"


def test_decisions_are_names_where_they_may_be(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export-to P coco -o c.json --decisions d.csv", capsys)[:3] == [
        "c.json: 72 photos, 14 individuals",
        "named: 60 by the catalogue, 2 by decisions",
        "without a name: 8 undecided, 1 new, 1 review",
    ]
    assert export_to("P", "coco", "c.json", decisions="d.csv", names="all").by_decisions == 3
    assert export_to("P", "coco", "c.json", decisions="d.csv", min_probability=0.97).by_decisions == 1
    assert export_to("P", "coco", "c.json", decisions="d.csv", split="test").photos == 12
    # people give no probabilities
    Path("d.csv").write_text(HEADER + "te000.jpg,auto,id00,,\n")
    assert export_to("P", "coco", "c.json", decisions="d.csv").by_decisions == 1
    assert export_to("P", "coco", "c.json", decisions="d.csv", min_probability=0.5).by_decisions == 0


def test_a_blends_names_come_back_apart_from_labels(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_to("P", "coco", "c.json", decisions="d.csv")
    lines = run("import-from coco c.json -o t.csv", capsys)
    assert lines[0] == "t.csv: 60 photos of 14 individuals; to name: 12 (2 named by a blend: column name)"
    row = pl.read_csv("t.csv").row(60, named=True)
    told = {key: row[key] for key in ("image", "individual_id", "species", "name", "band", "probability")}
    assert list(told.values()) == ["te000.jpg", None, None, "id00", "auto", 0.99]
    with pytest.raises(FinblendError, match=r"t\.csv: is there already; choose another name"):
        import_from("coco", "c.json", "t.csv")


def test_a_history_says_what_it_leaves_out(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "export-to P capture-history -o h.inp --occasions month --decisions d.csv --details details.csv"
    assert run(line, capsys) == [
        "h.inp: 72 photos, 14 individuals, 5 occasions",
        "named: 60 by the catalogue, 2 by decisions",
        "without a name: 8 undecided, 1 new, 1 review",
        "left out: 10 photos without a name",
        "2 species in one history (beluga, fin_whale); --species NAME takes one",
    ]
    assert export_to("P", "coco", "c.json", species="fin_whale", decisions="d.csv").by_decisions == 1
    one = json.loads(
        "\n".join(run("export-to P capture-history -o h.csv --occasions encounter --species beluga --json", capsys))
    )
    assert (one["occasions"], one["individuals"], one["notes"]) == (pl.read_csv("h.csv").width - 1, 7, [])


def test_what_decide_writes_is_read(project: Path, tmp_path: Path) -> None:
    decide(project, tmp_path / "d.csv", precision=0.5)
    answers = pl.read_csv(tmp_path / "d.csv")
    named = answers.filter((pl.col("band") == "auto") & (pl.col("name_1") != "new_individual")).height
    result = export_to(project, "coco", tmp_path / "c.json", decisions=tmp_path / "d.csv", split="test")
    assert (result.photos, result.by_decisions) == (answers.height, named)


def test_boxes_may_be_left_out(world: Path) -> None:
    export_to("P", "coco", "c.json", boxes="")
    assert json.loads(Path("c.json").read_text())["annotations"] == []


def test_details_may_be_of_other_types_and_go_before_the_catalogue(world: Path) -> None:
    details = {"image": ["tr000.jpg", "tr001.jpg"], "date": [date(2019, 5, 1), None], "width": [800, None]}
    details |= {"latitude": [5, None], "bbox": [[1, 2, 30, 40], None]}
    pl.DataFrame(details).write_parquet("details.parquet")
    export_to("P", "coco", "c.json", details="details.parquet")
    document = json.loads(Path("c.json").read_text())
    told = [(each["date_captured"], each["width"], each["attributes"]["latitude"]) for each in document["images"][:2]]
    assert told == [("2019-05-01", 800, 5.0), ("2021-02-01", 640, 0.25)]
    assert [each["bbox"] for each in document["annotations"][:2]] == [[1, 2, 30, 40], [1, 2, 30, 40]]


def test_occasions_are_of_any_column_of_any_type(world: Path) -> None:
    pl.DataFrame({"image": ["tr000.jpg", "tr001.jpg"], "trip": [[1], [2]]}).write_parquet("details.parquet")
    result = export_to("P", "capture-history", "h.csv", details="details.parquet", occasions="trip")
    assert (result.occasions, pl.read_csv("h.csv").columns) == (2, ["individual", "[1]", "[2]"])


@pytest.mark.parametrize("place", ["photos", "photos.zip"])
def test_sizes_are_read_from_photos_upright_wherever_they_lie(world: Path, place: str) -> None:
    (world / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save("photos/te000.jpg", exif=exif)
    shutil.make_archive("photos", "zip", "photos")
    export_to("P", "coco", "c.json", split="test", images=[place])
    first, second, *_ = json.loads(Path("c.json").read_text())["images"]
    assert (first["width"], first["height"]) == (30, 40)
    assert "width" not in second


REFUSED: list[tuple[str, str]] = [
    (
        "export-to P wildfire -o x.json",
        "wildfire: no form of exchange; one of wildbook, camtrap-dp, coco, capture-history",
    ),
    ("export-to P coco -o x.csv", "x.csv: coco is written to a file *.json"),
    ("export-to P coco -o no/x.json", "no/x.json: the folder no does not exist"),
    ("export-to P coco -o P/project.json", "/P itself; -o names a place of yours"),
    ("export-to P camtrap-dp -o P/stores", "/P itself; -o names a place of yours"),
    ("export-to P camtrap-dp -o P", "P: already exists; choose another folder"),
    ("export-to P camtrap-dp -o x.zip", "camtrap-dp is written to a folder"),
    ("export-to P wildbook -o x.csv", "wildbook is written to a file *.xlsx, or to a folder"),
    (
        "export-to P capture-history -o x.inp",
        "capture-history needs --occasions year|season|month|day|encounter|COLUMN",
    ),
    ("export-to P capture-history -o x.inp --occasions trip", "trip: no column of the catalogue (image,"),
    ("export-to P coco -o x.json --occasions month", "--occasions month: is for capture-history, not for coco"),
    ("export-to P coco -o x.json --names best", "--names best: must be one of auto, all"),
    ("export-to P coco -o x.json --min-probability 2", "--min-probability: 0 <= P <= 1 must hold, but got P=2.0"),
    ("export-to P coco -o x.json --species orca", "--species orca: no photo; there are beluga, fin_whale"),
    ("export-to P coco -o x.json --split all --date soon", "photo 61 (te000.jpg)"),
    ("export-to P coco -o x.json --decisions train.csv", "needs a column band"),
    ("export-to P coco -o x.json --decisions wrong.csv", "wrong.csv: row 1: band 'sure' with probability '0.5'"),
    ("export-to P coco -o x.json --decisions comma.csv", "comma.csv: row 1: band 'auto' with probability '0,9'"),
    (
        "export-to P camtrap-dp -o x --split test --date 0001-01-01T00:00+05:00",
        "date '0001-01-01T00:00+05:00': a date is",
    ),
    ("export-to P camtrap-dp -o x --metadata project.json", "project.json: project must be a JSON object"),
    (
        "export-to P coco -o x.json --decisions other.csv",
        "other.csv: row 1: image tr000.jpg is no test photo of the project",
    ),
    ("export-to P coco -o x.json --details far.csv", "far.csv: names no photo that is to be written"),
    ("export-to P coco -o x.json --images data", "data: no such folder"),
    ("export-to P wildbook -o x.xlsx --split test", "photo te000.jpg (unspecified): Wildbook needs genus and epithet"),
    ("export-to P wildbook -o x.xlsx --taxa wrong.csv", "wrong.csv: needs a column"),
    (
        "export-to P camtrap-dp -o x --split test --location somewhere",
        "every deployment needs a latitude and a longitude",
    ),
    ("export-to P camtrap-dp -o x --metadata list.json", "list.json: must hold a JSON object"),
    ("export-to P camtrap-dp -o x --metadata nan.json", "nan.json: holds a value that JSON has no word for"),
    ("import-from mark x.inp -o t2.csv", "mark: no form that is read; one of wildbook, camtrap-dp, coco"),
    ("import-from coco list.json -o t2.parquet", "t2.parquet: a table of photos is written to a file *.csv"),
    ("import-from coco list.json -o t2.csv --test ./t2.csv", "t2.csv: is the file of -o, too; --test needs another"),
    ("import-from coco list.json -o t2.csv", "list.json: COCO needs a list of images"),
    ("import-from camtrap-dp nowhere -o t2.csv", "nowhere: cannot be read"),
    ("import-from wildbook nowhere -o t2.csv", "nowhere: no such folder"),
]


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[line for line, _ in REFUSED])
def test_a_refusal_is_one_line_and_leaves_nothing(
    refused: Path, line: str, said: str, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(refused)
    assert said in refusal(refused, line, capsys)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refused")
    small = Small(folder)
    table = pl.read_csv(small.train_csv).with_columns(date=pl.lit("2020"), location=pl.lit("bay"))
    table.write_csv(small.train_csv)
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    (folder / "wrong.csv").write_text(HEADER + "te000.jpg,sure,id00,0.5,\n")
    (folder / "other.csv").write_text(HEADER + "tr000.jpg,auto,id00,0.5,\n")
    (folder / "far.csv").write_text("image,date\nx.jpg,2020\n")
    (folder / "comma.csv").write_text(HEADER + 'te000.jpg,auto,id00,"0,9",\n')
    (folder / "project.json").write_text('{"project": "whales"}')
    (folder / "list.json").write_text("[]")
    (folder / "nan.json").write_text('{"title": NaN}')
    return folder
