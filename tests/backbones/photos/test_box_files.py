"""Boxes from files: tables, folders of YOLO labels, COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from backbones.photos import Box, read_boxes
from cv import FinblendError


def test_files_and_columns_of_files(tmp_path: Path) -> None:
    frame = pl.DataFrame({"image": ["a.jpg", "b.jpg"]})
    given = pl.DataFrame({"image": ["z.jpg", "b.jpg"], "box": ["[[1 2 3 4]]"] * 2, "fin": ["[[5 6 7 8]]"] * 2})
    given.write_csv(tmp_path / "boxes.csv")
    given.write_parquet(tmp_path / "boxes.parquet")
    for name in ("boxes.csv", "boxes.parquet"):
        assert read_boxes(str(tmp_path / name), frame) == {"b.jpg": Box(1, 2, 3, 4)}
        assert read_boxes(f"{tmp_path / name}:fin", frame) == {"b.jpg": Box(5, 6, 7, 8)}
        with pytest.raises(FinblendError, match=rf"{name}: has no column 'tail'"):
            read_boxes(f"{tmp_path / name}:tail", frame)
        with pytest.raises(FinblendError, match=rf"{name}: names no image of the catalogue.*looks like q\.jpg"):
            read_boxes(str(tmp_path / name), pl.DataFrame({"image": ["q.jpg"]}))
    pl.concat([given, given]).write_csv(tmp_path / "twice.csv")
    with pytest.raises(FinblendError, match=r"twice\.csv: row 3: image z\.jpg stands twice"):
        read_boxes(str(tmp_path / "twice.csv"), frame)
    for spec in ("fin", str(tmp_path / "nothing"), "C:fin"):
        with pytest.raises(FinblendError, match="neither a column of the catalogue"):
            read_boxes(spec, frame)


def test_rows_of_a_file_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("image,bbox\na.jpg,[[1 2 3 4]]\nb.jpg,[[1 2 x 4]]\n")
    with pytest.raises(FinblendError, match=r"boxes\.csv: row 2: bbox '\[\[1 2 x 4\]\]'"):
        read_boxes(str(path), pl.DataFrame({"image": ["a.jpg"]}))


def test_images_are_matched_by_name_then_path_then_file_name(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("path,bbox\nleft/a.jpg,[[1 2 3 4]]\nserver/b.jpg,[[5 6 7 8]]\n")
    frame = pl.DataFrame({"image": ["1", "b.jpg", "3"], "path": ["left/a.jpg", None, "right/a.jpg"]})
    assert read_boxes(str(path), frame) == {"1": Box(1, 2, 3, 4), "b.jpg": Box(5, 6, 7, 8)}
    path.write_text("path,bbox\nleft\\a.jpg,[[1 2 3 4]]\n./b.jpg,[[5 6 7 8]]\n")
    assert read_boxes(str(path), frame) == {"1": Box(1, 2, 3, 4), "b.jpg": Box(5, 6, 7, 8)}
    path.write_text("path,bbox\nmiddle/a.jpg,[[1 2 3 4]]\n")
    with pytest.raises(FinblendError, match=r"middle/a\.jpg may be any of the images 1, 3"):
        read_boxes(str(path), frame)
    path.write_text("path,bbox\nx/b.jpg,[[1 2 3 4]]\ny/b.jpg,[[5 6 7 8]]\n")
    with pytest.raises(FinblendError, match=r"x/b\.jpg and y/b\.jpg both mean the image b\.jpg"):
        read_boxes(str(path), frame)


def test_a_folder_of_yolo_labels(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    (labels / "sub").mkdir(parents=True)
    (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.2 0.3\n\n1 0.25 0.25 0.1 0.1 0.9\n")
    (labels / "b.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.4 0.4\n")
    (labels / "c.txt").write_text("\n")
    (labels / "sub" / "d.v2.txt").write_text("0.5 0.5 1 1")
    (labels / "classes.txt").touch()
    frame = pl.DataFrame({"image": ["a.jpg", "b.png", "c.jpg", "d.v2.jpg", "e.jpg"]})
    boxes = read_boxes(str(labels), frame)
    assert list(boxes) == ["a.jpg", "b.png", "d.v2.jpg"]
    assert all(box.relative for box in boxes.values())
    assert boxes["a.jpg"].pixels(100, 1000) == (20, 200, 30, 300)
    assert boxes["b.png"].pixels(100, 100) == (30, 30, 70, 70)
    assert boxes["d.v2.jpg"].pixels(100, 50) == (0, 0, 100, 50)
    for line, rule in (
        ("0 0.5 0.5 0.2", "within 0 and 1"),
        ("0 a b c d", "four numbers"),
        ("0 5 5 2 2", "within 0 and 1"),
    ):
        (labels / "b.txt").write_text(f"0 0.5 0.5 0.2 0.2\n\n{line}\n")
        if line == "0 0.5 0.5 0.2":  # four numbers are a box without a class
            assert read_boxes(str(labels), frame)
            continue
        with pytest.raises(FinblendError, match=rf"b\.txt: row 3: '{line}': .*{rule}"):
            read_boxes(str(labels), frame)
    (labels / "b.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FinblendError, match=r"b\.txt: cannot be read as text"):
        read_boxes(str(labels), frame)
    (labels / "b.txt").unlink()
    with pytest.raises(FinblendError, match="names no image of the catalogue"):
        read_boxes(str(labels), pl.DataFrame({"image": ["q.jpg"]}))


COCO = {
    "images": [{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "b.jpg"}, {"id": 9, "file_name": "z.jpg"}],
    "annotations": [
        {"image_id": 7, "bbox": [0, 0, 10, 10], "score": 0.9},
        {"image_id": 7, "bbox": [1, 2, 30, 40], "score": 0.3},
        {"image_id": 8, "bbox": [0, 0, 10, 10]},
        {"image_id": 8, "bbox": [1, 2, 30, 40], "score": 0.3},
        {"image_id": 9, "bbox": []},
    ],
}


def test_coco(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(COCO))
    frame = pl.DataFrame({"image": ["a.jpg", "b.jpg", "c.jpg"]})
    assert read_boxes(str(path), frame) == {"a.jpg": Box(0, 0, 10, 10), "b.jpg": Box(1, 2, 31, 42)}
    assert read_boxes(str(path), frame, "xyxy")["b.jpg"] == Box(1, 2, 30, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"image_id": 5, "bbox": [1, 2, 3, 4]}]}, "annotation 1: image_id 5 is the id of no image"),
        (
            {"annotations": [{"image_id": 8, "bbox": [1, 2, 3]}]},
            r"annotation 1: bbox \[1, 2, 3\]: a box is four numbers",
        ),
        ({"annotations": [{"image_id": 8, "bbox": [1, 2, True, 4]}]}, "annotation 1: .*four numbers"),
        ({"annotations": [{"image_id": 8, "bbox": [1, 2, 10**400, 4]}]}, "annotation 1: .*four numbers"),
        ({"annotations": [{"image_id": 8, "bbox": [1, 2, float("nan"), 4]}]}, "annotation 1: .*finite"),
        ({"annotations": [{"image_id": 8, "bbox": [1, 2, -3, 4]}]}, "annotation 1: .*w >= 0"),
        (
            {"annotations": [{"image_id": 8, "bbox": [1, 2, 3, 4], "score": "x"}]},
            "annotation 1: score x is not a number",
        ),
        ({"annotations": [{"image_id": [8], "bbox": [1, 2, 3, 4]}]}, "annotation 1: image_id"),
        ({"images": {}}, "needs a list of images"),
        ({"images": [{"id": 1}]}, "image 1: needs an id and a file_name"),
        ({"images": COCO["images"] * 2}, "image 4: id 7 stands twice"),
        ({"images": [{"id": 8, "file_name": "q.jpg"}], "annotations": []}, "names no image of the catalogue; it has q"),
    ],
)
def test_broken_coco_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({**COCO, **change}))
    with pytest.raises(FinblendError, match=message):
        read_boxes(str(path), pl.DataFrame({"image": ["a.jpg", "b.jpg"]}))
