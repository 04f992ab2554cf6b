"""Encounters: a column of the catalogue's own table, or of another file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cv import FinblendError, make_folds, read_catalogue

TRAIN = pl.DataFrame(
    {
        "image": ["a", "b", "c", "d"],
        "individual_id": ["ann", "ann", "bob", "bob"],
        "species": ["orca"] * 4,
        "date": ["day1", " day1 ", "", None],
    }
)
TEST = pl.DataFrame({"image": ["t"], "date": ["day1"], "encounter": ["day1"]})


def encounters_of(train: pl.DataFrame, spec: str | None) -> list[str | None]:
    """The encounters of the train photos."""
    return read_catalogue(train, TEST, encounters=spec)[0].train["encounter"].to_list()


def test_a_column_of_the_table_names_encounters_trimmed_and_empty_ones_stand_alone() -> None:
    assert encounters_of(TRAIN, "date") == ["day1", "day1", None, None]
    assert read_catalogue(TRAIN, TEST, encounters="date")[0].train["date"].to_list() == ["day1", " day1 ", "", None]


def test_a_column_called_encounter_is_taken_when_named_and_only_then() -> None:
    named = TRAIN.rename({"date": "encounter"})
    assert encounters_of(named, "encounter") == ["day1", "day1", None, None]
    assert encounters_of(named, None) == [None] * 4
    assert encounters_of(named.with_columns(when=pl.lit("night")), "when") == ["night"] * 4


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("image_column", ["image", "image_id", "path"])
def test_a_column_of_another_file_is_joined_by_image_and_not_by_order(
    tmp_path: Path, suffix: str, image_column: str
) -> None:
    other = pl.DataFrame({image_column: ["d", "zz", "b", "a"], "sighting": ["s2", "s9", " s1", "s1"]})
    path = tmp_path / f"seen.{suffix}"
    if suffix == "csv":
        other.write_csv(path)
    else:
        other.write_parquet(path)
    assert encounters_of(TRAIN, f"{path}:sighting") == ["s1", "s1", None, "s2"]


def test_numbers_in_a_parquet_file_become_text(tmp_path: Path) -> None:
    pl.DataFrame({"image": ["a", "b", "c"], "sighting": [7, 7, 8]}).write_parquet(tmp_path / "seen.parquet")
    assert encounters_of(TRAIN, f"{tmp_path}/seen.parquet:sighting") == ["7", "7", "8", None]


def test_test_photos_have_no_encounter() -> None:
    assert read_catalogue(TRAIN, TEST, encounters="date")[0].test["encounter"].to_list() == [None]


def test_an_encounter_of_the_catalogue_stays_in_one_fold() -> None:
    catalogue, _ = read_catalogue(TRAIN, TEST, encounters="date")
    folds = make_folds(catalogue.train, 4)
    assert folds[0] == folds[1]
    assert folds[2] != folds[3]


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("image,sighting\na,s1\n", "day", "has no column 'day'; it has image, sighting"),
        ("file,sighting\na,s1\n", "sighting", "needs a column image or image_id or path; it has file, sighting"),
        ("image,sighting\na,s1\na,s2\n", "sighting", "row 2: image a stands twice; every image stands once"),
        ("image,sighting\na,s1\n,s2\n", "sighting", "row 2: image is empty"),
        ("", "sighting", "is empty"),
    ],
)
def test_a_bad_file_of_encounters_is_refused_by_name(tmp_path: Path, content: str, column: str, message: str) -> None:
    (tmp_path / "seen.csv").write_text(content)
    with pytest.raises(FinblendError) as caught:
        encounters_of(TRAIN, f"{tmp_path}/seen.csv:{column}")
    assert str(caught.value) == f"{tmp_path}/seen.csv: {message}"


def test_a_column_that_is_not_there_a_missing_file_and_a_file_of_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match=r"^train: has no column 'day' \(give FILE:COLUMN"):
        encounters_of(TRAIN, "day")
    with pytest.raises(FinblendError, match=r"absent\.csv: no such file"):
        encounters_of(TRAIN, "absent.csv:day")
    (tmp_path / "seen.csv").write_text("image,sighting\nzz,s1\n")
    with pytest.raises(FinblendError, match=r"--encounters .*seen\.csv:sighting: names no image of train"):
        encounters_of(TRAIN, f"{tmp_path}/seen.csv:sighting")


def test_encounters_have_numbers_and_photos_without_one_have_none() -> None:
    day = TRAIN.with_columns(date=pl.Series(["day2", "day10", "", "day2"]))
    assert read_catalogue(day, TEST, encounters="date")[0].encounters.tolist() == [1, 0, -1, 1]
    nowhere = read_catalogue(TRAIN, TEST)[0].encounters
    assert (nowhere.tolist(), nowhere.dtype) == ([-1] * 4, "int32")
