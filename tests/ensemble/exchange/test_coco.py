"""COCO: loaded by the library of the format and by `embed`; other people's files read."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from backbones.photos import Box, read_boxes
from cv.errors import FinblendError
from ensemble.exchange.coco import Coco
from ensemble.exchange.contract import Stated
from ensemble.exchange.records import BOX, checked

FORM = Coco()


def three() -> pl.DataFrame:
    rows: dict[str, list[Any]] = {
        "image": ["a.jpg", "b.jpg", "c.jpg"],
        "individual_id": ["x", "y", None],
        "species": ["beluga", "orca", None],
        "box_x": [10, None, 0.5],
        "box_y": [20, None, 0],
        "box_width": [30, None, 10],
        "box_height": [40, None, 20.25],
        "split": ["train", "train", "test"],
        "band": [None, None, "review"],
        "probability": [None, None, 0.25],
    }
    return checked(pl.DataFrame(rows, strict=False), "three")


def test_pycocotools_loads_it(tmp_path: Path) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco")
    assert FORM.write(three(), tmp_path / "c.json", Stated())[0].startswith("photos without a box: 1;")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = pycocotools.COCO(tmp_path / "c.json")
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["beluga", "orca", "unspecified"]
    first, second = coco.loadAnns(coco.getAnnIds())
    assert (first["bbox"], first["area"], first["attributes"]) == ([10, 20, 30, 40], 1200, {"individual": "x"})
    assert second["attributes"] == {"band": "review", "probability": 0.25}
    (belugas,) = coco.getImgIds(catIds=coco.getCatIds(catNms=["beluga"]))
    assert coco.loadImgs(belugas)[0]["file_name"] == "a.jpg"
    assert coco.getAnnIds(areaRng=[0, 1000]) == [second["id"]]


def test_embed_reads_its_boxes(tmp_path: Path) -> None:
    FORM.write(three(), tmp_path / "c.json", Stated())
    boxes = read_boxes(str(tmp_path / "c.json"), three())
    assert boxes == {"a.jpg": Box(10, 20, 40, 60), "c.jpg": Box(0.5, 0, 10.5, 20.25)}


def test_shares_of_the_photo_become_pixels(tmp_path: Path) -> None:
    shares = three().with_columns(pl.col(BOX) / 100, width=pl.lit(400), height=pl.lit(200))
    FORM.write(shares, tmp_path / "c.json", Stated())
    assert FORM.read(tmp_path / "c.json").records.row(0, named=True)["box_width"] == 120
    with pytest.raises(FinblendError, match=r"photo a.jpg .*: its box is to be written in pixels, .* --images DIR"):
        FORM.write(shares.with_columns(width=pl.lit(None, pl.Int64)), tmp_path / "d.json", Stated())


def document(**parts: Any) -> dict[str, Any]:
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2, 3)]
    return {"images": images, "annotations": [], "categories": [{"id": 7, "name": "leopard"}], **parts}


def test_anybodys_file_is_read(tmp_path: Path) -> None:
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5], "individual_id": 4},
        {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9], "individual_id": 4},
        {"id": 3, "image_id": 2, "category_id": 7, "bbox": [0, 0, 5, 5], "name": "Ann"},
        {"id": 4, "image_id": 2, "category_id": 7, "bbox": [0, 0, 5, 5], "name": "Bea"},
    ]
    (tmp_path / "c.json").write_text(json.dumps(document(annotations=annotations)))
    reading = FORM.read(tmp_path / "c.json")
    told = reading.records.select("image", "individual_id", "species", "box_width").rows()
    assert told == [("1.jpg", "4", "leopard", 9.0), ("3.jpg", None, None, None)]
    assert reading.notes == ["left out: 1 photos of several individuals"]


def test_what_an_annotation_does_not_say_its_image_may(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a", "attributes": {"individual": "Ann"}}]
    parts = document(images=images, annotations=[{"image_id": 1, "bbox": [0, 0, 5, 5]}])
    # with the mark that tools of Windows put before a text
    (tmp_path / "c.json").write_text(json.dumps(parts), encoding="utf-8-sig")
    assert FORM.read(tmp_path / "c.json").records.select("individual_id", "box_width").row(0) == ("Ann", 5.0)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"images": None}, "COCO needs a list of images and a list of annotations"),
        ({"images": [{"id": 1}]}, "image 1: needs an id and a file_name"),
        ({"annotations": [{"image_id": 9}]}, "image_id 9 is the id of no image"),
        ({"annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}, "annotation 1: bbox [1, 2, 3]: a box is four numbers"),
        ({"annotations": [{"image_id": 1, "bbox": [1, 2, -3, 4]}]}, "photo 1 (1.jpg): box_width -3.0: a box needs"),
        ({"annotations": [{"image_id": "1"}]}, "image_id '1' is the id of no image"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}, "image 2: id 1 stands twice"),
        ({"categories": [3]}, "categories need a list of id and name"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}]}, "image 'a' stands twice"),
        ({"images": [{"id": 1, "file_name": "a", "date_captured": "May"}]}, "photo 1 (a): date 'May': a date is YYYY"),
        ({"images": [{"id": 1, "file_name": "a\x01b"}]}, "holds a character that no form of exchange can hold"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, parts: dict[str, Any], said: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps(document(**parts)))
    with pytest.raises(FinblendError) as refused:
        FORM.read(tmp_path / "c.json")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


PLACES = [("images", 0, key) for key in ("id", "file_name", "width", "date_captured", "attributes")]
PLACES += [("annotations", 0, key) for key in ("image_id", "category_id", "bbox", "attributes")]
PLACES += [("categories", 0, key) for key in ("id", "name")]
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.floats(), max_size=4)
)


@given(
    place=st.sampled_from(PLACES), value=ANYTHING | st.dictionaries(st.sampled_from(["individual", "split"]), ANYTHING)
)
@examples(25)
def test_whatever_stands_in_a_file_it_is_read_or_refused(place: tuple[str, int, str], value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.json"
        FORM.write(three(), path, Stated())
        document = json.loads(path.read_text())
        part, row, key = place
        document[part][row][key] = value
        path.write_text(json.dumps(document))
        with contextlib.suppress(FinblendError):
            # no photo is lost without a word, and no other error comes out
            assert FORM.read(path).records.height == 3
