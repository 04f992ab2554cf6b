"""All boxes of a file with their classes, in every form that is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backbones.photos import read_every_box
from cv import FinblendError


def told(spec: Path, form: str = "auto") -> list[tuple[str, tuple[float, ...], str]]:
    table = read_every_box(str(spec), form)
    return [
        (table.names[owner], (box.x1, box.y1, box.x2, box.y2), kind)
        for owner, box, kind in zip(table.owner, table.boxes, table.classes, strict=True)
    ]


def test_a_table_may_have_many_boxes_a_row_and_many_rows_a_photo(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(
        "image,bbox,score,class\n"
        "b.jpg,[[1 2 30 40]],0.9,fin\n"
        'a.jpg,[[0 0 10 10] [5 5 20 20]],[0.9 0.5],"[""dorsal fin"", ""body""]"\n'
        "b.jpg,[[3 4 50 60]],0.2,body\n"
        "c.jpg,,,\n"
        "d.jpg,[[1 1 9 9] [2 2 8 8]],[0.5 0.4],fin\n"
    )
    assert told(path) == [
        ("b.jpg", (1, 2, 30, 40), "fin"),
        ("a.jpg", (0, 0, 10, 10), "dorsal fin"),
        ("a.jpg", (5, 5, 20, 20), "body"),
        ("b.jpg", (3, 4, 50, 60), "body"),
        ("d.jpg", (1, 1, 9, 9), "fin"),
        ("d.jpg", (2, 2, 8, 8), "fin"),
    ]
    table = read_every_box(str(path))
    assert table.names == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert table.where(1).startswith(f"{path}: row 2: bbox")


@pytest.mark.parametrize("cell", ["[fin body]", "['fin', 'body']", "[fin, body]"])
def test_classes_may_be_listed_as_people_do(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(f'image,bbox,label\na.jpg,[[0 0 10 10] [5 5 20 20]],"{cell}"\n')
    assert [kind for _, _, kind in told(path)] == ["fin", "body"]


def test_a_cell_of_classes_that_does_not_fit_its_boxes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    for cell in ("[fin body tail]", ""):
        path.write_text(f"image,bbox,category\na.jpg,[[0 0 10 10] [5 5 20 20]],{cell}\n")
        with pytest.raises(FinblendError, match=r"boxes\.csv: row 1: bbox: category .*its boxes \(2\)"):
            told(path)


def test_yolo_numbers_are_named_by_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.4 0.4 0.7\n7 0.5 0.5 1 1\n")
    (tmp_path / "b.txt").touch()
    assert [kind for _, _, kind in told(tmp_path)] == ["0", "1", "7"]
    (tmp_path / "classes.txt").write_text("backfin\nfull body\n")
    assert [kind for _, _, kind in told(tmp_path)] == ["backfin", "full body", "7"]
    # the photo without a label is there, the list of names is none
    assert read_every_box(str(tmp_path)).names == ["a", "b"]


def test_coco_categories(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 3, "name": "backfin"}],
        "annotations": [
            {"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 3},
            {"image_id": 1, "bbox": [5, 6, 7, 8], "category_id": 4},
            {"image_id": 1, "bbox": [0, 0, 9, 9]},
        ],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    assert told(path) == [
        ("a.jpg", (1, 2, 4, 6), "backfin"),
        ("a.jpg", (5, 6, 12, 14), "4"),
        ("a.jpg", (0, 0, 9, 9), ""),
    ]
    assert read_every_box(str(path)).names == ["a.jpg", "b.jpg"]


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["train_backfin", "test_fullbody"])
def test_real_tables_go_through_detects_own_form_and_back(real_data: Path, tmp_path: Path, name: str) -> None:
    from ensemble.detection.apply import write_boxes

    table = read_every_box(str(real_data / "happywhale" / f"{name}_boxes.csv"))
    rows: dict[str, list[tuple[list[int], float, str]]] = {photo: [] for photo in table.names}
    for owner, box in zip(table.owner, table.boxes, strict=True):
        rows[table.names[owner]].append(([int(edge) for edge in (box.x1, box.y1, box.x2, box.y2)], 0.5, "fin"))
    write_boxes(tmp_path / "back.csv", rows)
    again = read_every_box(str(tmp_path / "back.csv"))
    assert (again.names, again.owner.tolist()) == (table.names, table.owner.tolist())
    assert again.boxes == table.boxes
    assert set(again.classes) == {"fin"}
