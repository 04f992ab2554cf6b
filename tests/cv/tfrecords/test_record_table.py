"""What features are taken for, and the table that records make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from records import example, write_shard

from cv import FinblendError, read_catalogue
from cv.tables import column_of_file, read_table
from cv.tfrecords import are_records, photos_of, read_spec

JPEG = b"\xff\xd8\xff the rest of a photo"
HAPPYWHALE = {"image": JPEG, "image_name": "0a.jpg", "target": 7, "species": "beluga", "detic_box": [12, 30, 200, 96]}
DETECTION = {
    **{"image/encoded": JPEG, "image/filename": "0a.jpg", "image/class/text": "whale 1", "image/width": 640},
    **{f"image/object/bbox/{edge}": values for edge, values in zip(
        ("xmin", "ymin", "xmax", "ymax"), ([0.125, 0.0], [0.25, 0.0], [0.5, 1.0], [0.75, 1.0]), strict=True
    )},
}  # fmt: skip


def one(folder: Path, features: dict[str, Any], name: str = "a.tfrec") -> Path:
    return write_shard(folder / name, [example(features)])


def refused(text: str | Path) -> str:
    with pytest.raises(FinblendError) as told:
        read_table(text)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_happywhale_records(tmp_path: Path) -> None:
    table, name = read_table(one(tmp_path, HAPPYWHALE))
    assert name == f"{tmp_path}/a.tfrec"
    assert table.to_dicts() == [
        {"image": "0a.jpg", "individual_id": 7, "species": "beluga", "detic_box": "12 30 200 96"}
    ]


def test_names_of_individuals_come_before_their_numbers(tmp_path: Path) -> None:
    row = read_table(one(tmp_path, HAPPYWHALE | {"individual_id": "cadddb1636b9"}))[0].row(0, named=True)
    assert (row["individual_id"], row["target"]) == ("cadddb1636b9", 7)


def test_records_of_tensorflows_object_detection(tmp_path: Path) -> None:
    row = read_table(one(tmp_path, DETECTION))[0].row(0, named=True)
    assert row == {
        **{"image": "0a.jpg", "individual_id": "whale 1", "image/width": 640},
        **{"bbox": "[[0.125 0.25 0.5 0.75] [0.0 0.0 1.0 1.0]]"},
    }


def test_without_a_name_a_record_goes_by_shard_and_number(tmp_path: Path) -> None:
    write_shard(tmp_path / "train00-3.tfrec", [example({"image": JPEG, "label": i}) for i in range(3)])
    table = read_table(tmp_path / "train00-3.tfrec")[0]
    assert table["image"].to_list() == ["train00-3-000001", "train00-3-000002", "train00-3-000003"]
    assert table["individual_id"].to_list() == [0, 1, 2]


def test_columns_hold_what_is_small(tmp_path: Path) -> None:
    features = [
        {"image": JPEG, "name": "a", "date": "2022-01-03", "depth": 1.5, "n": 1, "mask": b"\x89PNG.", "raw": b"\xfe"},
        {"image": JPEG, "name": "b", "n": "two", "depth": 2.5, "box": [-1, -1, -1, -1], "vector": [0.5] * 65},
    ]  # fmt: skip
    path = write_shard(tmp_path / "a.tfrec", map(example, features))
    assert read_table(path)[0].to_dicts() == [
        {"image": "a", "date": "2022-01-03", "depth": 1.5, "n": "1"},
        {"image": "b", "date": None, "depth": 2.5, "n": "two"},
    ]


def test_features_are_named_behind_the_pattern(tmp_path: Path) -> None:
    two = {"left": JPEG, "right": JPEG, "photo_id": 3, "whale": "w", "kind": "beluga"}
    path = one(tmp_path, two)
    assert refused(path) == f"{path}: several features hold photos, left, right: say which with :image=FEATURE"
    spec = f"{path}:image=right,name=photo_id,label=whale,species=kind"
    assert read_table(spec)[0].rows() == [("3", "w", "beluga")]
    ((shard, photo),) = photos_of(read_spec(spec))
    ((record),) = shard.records()
    assert bytes(record.data[photo.start : photo.start + photo.size]) == JPEG
    assert refused(f"{path}:image=right,name=nobody") == (
        f"{path}:image=right,name=nobody: name=nobody: {path} has no such feature; it has kind (bytes), left (bytes), "
        "photo_id (int64), right (bytes), whale (bytes)"
    )
    assert refused(f"{path}:photo=right") == (
        f"{path}:photo=right: 'photo=' is none of image=, name=, label=, species="
    )


def test_what_cannot_be_used_says_what_is_there(tmp_path: Path) -> None:
    path = one(tmp_path, {"name": "a.jpg", "vector": [0.5, 0.25]})
    assert refused(path) == f"{path}: no feature holds a photo; it has name (bytes), vector (float)"
    path = write_shard(tmp_path / "b.tfrec", [example({"image": JPEG, "name": "a"}), example({"name": "b"})])
    with pytest.raises(FinblendError, match=r"record 2: image is not the bytes of one photo; it has name"):
        list(photos_of(read_spec(path)))
    path = write_shard(tmp_path / "c.tfrec", [example({"image": JPEG, "name": "a"}), example({"image": JPEG})])
    assert refused(path) == f"{path}: record 2: name is no name of a photo"
    path = write_shard(tmp_path / "d.tfrec", [b"\x0a\x05ab"])
    assert refused(path) == f"{path}: record 1: is no tf.train.Example (a field is longer than its message)"
    path = write_shard(tmp_path / "e.tfrec", [], "gzip")
    assert refused(path) == f"{path}: holds no record"


def test_a_photo_that_is_damaged_is_still_the_photo(tmp_path: Path) -> None:
    path = one(tmp_path, {"image": b"\x00\x01 no photo", "name": "a"})
    assert read_table(path)[0].rows() == [("a",)]


def test_a_name_stands_once_in_all_shards(tmp_path: Path) -> None:
    first, second = (one(tmp_path, HAPPYWHALE, name) for name in ("a.tfrec", "b.tfrec"))
    told = f"{second}: record 1: image 0a.jpg is in {first}, record 1, too; every image stands once"
    assert refused(f"{tmp_path}/*.tfrec") == told
    with pytest.raises(FinblendError, match=r"record 1: image 0a\.jpg is in "):
        list(photos_of(read_spec(f"{tmp_path}/*.tfrec")))
    # one file that two names lead to is one
    second.unlink()
    second.symlink_to(first)
    assert read_table(f"{tmp_path}/*.tfrec")[0].height == 1


def test_patterns_and_what_are_records(tmp_path: Path) -> None:
    assert refused(f"{tmp_path}/*.tfrec") == f"{tmp_path}/*.tfrec: no file matches the pattern"
    assert refused(f"{tmp_path}/a.tfrec") == f"{tmp_path}/a.tfrec: no such file"
    for number in range(2):
        one(tmp_path, HAPPYWHALE | {"image_name": f"{number}.jpg"}, f"b/train-0000{number}-of-00002")
    # no suffix: known by how they begin
    assert are_records(f"{tmp_path}/b/train-*")
    assert read_table(f"{tmp_path}/**/train-*")[0]["image"].to_list() == ["0.jpg", "1.jpg"]
    (tmp_path / "a.csv").write_text("image\na.jpg\n")
    assert not are_records(tmp_path / "a.csv")
    assert not are_records(f"{tmp_path}/*.csv")
    assert not are_records(tmp_path)
    # a file of the very name comes before the pattern that the name would be
    one(tmp_path, HAPPYWHALE, "c[1].tfrec")
    assert read_table(tmp_path / "c[1].tfrec")[0].height == 1


def test_a_catalogue_comes_out_of_records(tmp_path: Path) -> None:
    rows = [HAPPYWHALE | {"image_name": f"{i}.jpg", "target": i // 2, "day": f"d{i // 4}"} for i in range(8)]
    for shard in range(2):
        write_shard(tmp_path / f"train{shard}.tfrec", map(example, rows[shard::2]))
    write_shard(tmp_path / "test.tfrec", [example(HAPPYWHALE | {"image_name": "t.jpg", "target": 0})])
    train = f"{tmp_path}/train*.tfrec"
    catalogue, _ = read_catalogue(train, f"{tmp_path}/test.tfrec", encounters="day")
    assert catalogue.train_images == [f"{i}.jpg" for i in (0, 2, 4, 6, 1, 3, 5, 7)]
    assert catalogue.individuals == ["0", "1", "2", "3"]
    assert catalogue.test_images == ["t.jpg"]
    assert catalogue.test["individual_id"].to_list() == [None]
    assert catalogue.frame["detic_box"].unique().to_list() == ["12 30 200 96"]
    day = column_of_file(f"{train}:day", catalogue.train, "train")
    assert day.filter(pl.col("image") == "5.jpg")["value"].to_list() == ["d1"]
