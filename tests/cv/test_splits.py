"""Splits that a frame comes with, and frames of wildlife-datasets: every column, lists, dates, numbers as names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from cv import Catalogue, FinblendError, read_catalogue

N = 8


def frame(**columns: Any) -> pd.DataFrame:
    """As wildlife-datasets makes them: numbers for photos, boxes and outlines as lists, gaps."""
    facts: dict[str, Any] = {
        "image_id": range(100, 100 + N),
        "identity": ["ann", "ann", "bob", "bob", "cid", "ann", "dee", "unknown"],
        "path": [f"img/{i}.jpg" for i in range(N)],
        "date": pd.to_datetime(["2020-01-01", "2020-01-02 10:30:00", None, *["2021-03-01"] * 5], format="mixed"),
        "species": "lion",
        "orientation": ["left", "right", None, *["left"] * 5],
        "position": "front",
        "bbox": [[1.0, 2.0, 30.0, 40.5], None, *[[0.0, 0.0, 9.0, 9.0]] * 6],
        "segmentation": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None, *[{"size": [3, 4], "counts": "abc"}] * 6],
        "keypoints": [[1, 2]] * N,
        "video": [1, None, *[3] * 6],
        "split": ["train", "train", "train", "train", "train", "test", "test", None],
    }
    return pd.DataFrame(facts | columns)


def images(catalogue: Catalogue) -> dict[str, list[str]]:
    parts = catalogue.frame.group_by("split", maintain_order=True).agg("image")
    return dict(parts.iter_rows())


def refusal(*tables: Any, **arguments: Any) -> str:
    with pytest.raises(FinblendError) as caught:
        read_catalogue(*tables, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_column_comes_in_lists_as_text() -> None:
    rows = read_catalogue(frame())[0].frame.to_dicts()
    first, second = rows[0], rows[1]
    assert (first["image"], first["individual_id"], first["path"]) == ("100", "ann", "img/0.jpg")
    assert (first["bbox"], first["segmentation"]) == ("[1.0, 2.0, 30.0, 40.5]", "[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]")
    assert (second["bbox"], second["segmentation"], str(second["date"])) == (None, None, "2020-01-02 10:30:00")
    assert (first["orientation"], first["position"], first["video"], first["keypoints"]) == (
        "left",
        "front",
        1,
        "[1, 2]",
    )
    assert rows[3]["segmentation"] == "{'size': [3, 4], 'counts': 'abc'}"
    assert rows[-1]["individual_id"] is None


def test_a_csv_of_the_frame_says_the_same(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "frame.csv")
    read, given = (read_catalogue(table)[0].frame for table in (tmp_path / "frame.csv", frame()))
    same = ["image", "individual_id", "species", "split", "path", "orientation", "position", "bbox", "keypoints"]
    assert read.select(same).equals(given.select(same))


@pytest.mark.parametrize("kind", ["pandas", "csv", "parquet"])
def test_lists_of_species_are_their_text(kind: str, tmp_path: Path) -> None:
    table: Any = frame(species=[["lion"]] * 7 + [["lion", "cat"]], segmentation=None)
    if kind != "pandas":
        path = tmp_path / f"frame.{kind}"
        table.to_csv(path) if kind == "csv" else table.to_parquet(path)
        table = path
    assert read_catalogue(table)[0].frame["species"].to_list() == ["lion"] * 7 + ["lion, cat"]


def test_a_split_parts_the_frame_and_nothing_gives_the_names_of_its_test_photos_away() -> None:
    encounters = [f"meeting of {name}" for name in frame()["identity"]]
    names = frame()["identity"]
    aliases = {"identity_original": "old " + names, "individual_name": names, "video": "video of " + names}
    table = frame(individual_id=names, encounter=encounters, **aliases)
    catalogue, report = read_catalogue(table, split="split", encounters="encounter")
    assert images(catalogue) == {
        "train": ["100", "101", "102", "103", "104"],
        "test": ["105", "106"],
        "unlabelled": ["107"],
    }
    assert catalogue.individuals == ["ann", "bob", "cid"]
    rest = catalogue.frame.filter(pl.col("split") != "train")
    assert not {"ann", "dee", "meeting"} & {word for row in rest.rows() for cell in row for word in str(cell).split()}
    # what is known of the photos stays, and their rows are those of the frame
    assert (rest["row"].to_list(), rest["orientation"].to_list()) == ([5, 6, 7], ["left"] * 3)
    assert (report.left_out, report.unlabelled_images, report.unused_split) == (1, 0, False)
    assert report.of_train_alone == ["video", "identity_original", "individual_name"]
    assert catalogue.train["identity_original"].to_list()[0] == "old ann"


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_folders_that_are_called_as_animals_are_counted(slash: str) -> None:
    paths = [f"img{slash}{name}{slash}{i}.jpg" for i, name in enumerate(frame()["identity"])]
    catalogue, report = read_catalogue(frame(path=paths), split="split")
    assert report.in_named_folders == 2
    # without it, no photo would be found
    assert catalogue.test["path"].to_list() == paths[5:7]
    for kept in (frame(), frame().drop(columns="path")):
        assert read_catalogue(kept, split="split")[1].in_named_folders == 0


def test_a_split_comes_from_another_file_by_name_or_by_path(tmp_path: Path) -> None:
    parts = ["database"] * 4 + ["gallery", "query", "query", " Query "]
    for column in ("image_id", "path"):
        pd.DataFrame({column: frame()[column], "part": parts}).to_csv(tmp_path / "parts.csv", index=False)
        catalogue, report = read_catalogue(frame(), split=f"{tmp_path / 'parts.csv'}:part")
        assert images(catalogue)["test"] == ["105", "106", "107"]
        assert report.left_out == 0


def test_photos_of_the_train_part_without_a_name_play_no_part() -> None:
    catalogue, report = read_catalogue(frame(split=["train"] * 4 + ["test"] * 3 + ["train"]), split="split")
    assert images(catalogue)["unlabelled"] == ["107"]
    assert (report.left_out, report.unlabelled_images) == (0, 1)


def test_a_column_of_splits_that_nobody_asked_for_is_told() -> None:
    catalogue, report = read_catalogue(frame())
    assert report.unused_split
    assert len(catalogue.train_images) == 7
    assert not read_catalogue(frame().drop(columns="split"))[1].unused_split


def test_wrong_splits_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["a", "b"], "part": ["train", "test"]}).to_csv(tmp_path / "other.csv")
    spec = f"{tmp_path / 'other.csv'}:part"
    assert refusal(frame(), split=spec) == f"--split {spec}: says nothing of any image of train"
    told = "--split split: image 100: 'val' is none of train, database, gallery, test, query"
    assert refusal(frame(split=["val"] + ["train"] * 7), split="split").startswith(told)
    assert "is in the test part (test or query)" in refusal(frame(split="train"), split="split")
    assert "is in the train part (train or database or gallery)" in refusal(frame(split="test"), split="split")
    assert "has no column 'part'" in refusal(frame(), split="part")
    assert "leave --test out" in refusal(frame(), frame(), split="split")
    assert "no photo has a known individual" in refusal(frame(identity="unknown"), split="split")


def test_numbers_that_no_table_holds_are_refused() -> None:
    assert refusal(frame(video=[1j] * N)).startswith("train: cannot be read as a table (")
