"""Folds a team brings, the gallery photos they leave, and the counts that describe them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, gallery_photos
from cv.folds import describe_folds, folds_from_values
from cv.tables import column_of_file

IMAGES = ["a.jpg", "b.jpg", "c.jpg"]


def values_of(folds: list[str | None], images: list[str] = IMAGES) -> pl.DataFrame:
    """What `column_of_file` gives for a column of folds."""
    return pl.DataFrame({"image": images, "value": folds}, schema={"image": pl.String, "value": pl.String})


@pytest.mark.parametrize(
    ("folds", "expected"),
    [(["0", "1", "2"], [0, 1, 2]), (["4", "2", "4"], [4, 2, 4]), (["0.0", "1.0", " 3 "], [0, 1, 3])],
)
def test_whole_numbers_are_taken_as_they_are(folds: list[str | None], expected: list[int]) -> None:
    got = folds_from_values(IMAGES, values_of(folds), "folds.csv:fold")
    assert got.dtype == np.int32
    assert got.tolist() == expected


def test_rows_are_matched_by_image_and_further_images_are_passed_over() -> None:
    values = values_of(["9", "2", "1", "0"], ["other.jpg", "c.jpg", "b.jpg", "a.jpg"])
    assert folds_from_values(IMAGES, values, "folds.csv:fold").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "value", ["-1", "1.5", "one", "", "nan", "inf", "1e0", "0x1", ".0", "3000000000", "99999999999999999999"]
)
def test_a_value_that_is_no_fold_is_refused_with_file_image_and_value(value: str) -> None:
    with pytest.raises(FinblendError) as caught:
        folds_from_values(IMAGES, values_of(["0", value, "1"]), "team/folds.csv:fold")
    for part in ("team/folds.csv", "b.jpg", f"'{value}'"):
        assert part in str(caught.value)


def test_photos_without_a_fold_are_refused_by_file_and_image() -> None:
    for values in (values_of(["0", None, "1"]), values_of(["0", "1"], ["a.jpg", "c.jpg"])):
        with pytest.raises(FinblendError, match=r"folds\.csv:fold: gives no fold for b\.jpg; every train photo"):
            folds_from_values(IMAGES, values, "folds.csv:fold")


def test_many_photos_without_a_fold_are_named_by_the_first_five_and_counted() -> None:
    images = [f"p{i}.jpg" for i in range(9)]
    with pytest.raises(FinblendError, match=r"p0\.jpg, p1\.jpg, p2\.jpg, p3\.jpg, p4\.jpg, \.\.\. \(9 in all\)"):
        folds_from_values(images, values_of([], []), "folds.csv:fold")


def test_a_single_fold_is_refused_and_named() -> None:
    with pytest.raises(FinblendError, match=r"folds\.csv:fold: all photos are in fold 3; .* at least 2 folds"):
        folds_from_values(IMAGES, values_of(["3", "3", "3"]), "folds.csv:fold")


def test_folds_come_from_a_column_of_a_csv_file(tmp_path: Path) -> None:
    path = f"{tmp_path}/folds.csv"
    pl.DataFrame({"image": ["c.jpg", "a.jpg", "b.jpg"], "fold": [2, 0, 1]}).write_csv(path)
    table = pl.DataFrame({"image": IMAGES})
    assert folds_from_values(IMAGES, column_of_file(f"{path}:fold", table, "train"), path).tolist() == [0, 1, 2]
    with pytest.raises(FinblendError, match=r"folds\.csv: has no column 'kfold'; it has image, fold"):
        column_of_file(f"{path}:kfold", table, "train")


@given(
    photos=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 2, 7])), min_size=1, max_size=40),
)
def test_gallery_photos_equals_a_loop_over_all_pairs(photos: list[tuple[int, int]]) -> None:
    labels, folds = (np.array(column, dtype=np.int32) for column in zip(*photos, strict=True))
    expected = [
        sum(1 for label, fold in photos if label == own_label and fold != own_fold) for own_label, own_fold in photos
    ]
    assert gallery_photos(labels, folds).tolist() == expected


def test_describe_folds_equals_the_counts_worked_by_hand() -> None:
    # fold 0: a1 a2 b1 c1 c2   fold 4: a3 d1 d2 d3 b2
    train = pl.DataFrame(
        [
            ("a1", "a", "day1"),
            ("a2", "a", "day1"),
            ("a3", "a", None),
            ("b1", "b", "day2"),  # day2 straddles: b1 in fold 0, b2 in fold 4
            ("b2", "b", "day2"),
            ("c1", "c", "day3"),  # several photos, one encounter: a stranger in fold 0
            ("c2", "c", "day3"),
            ("d1", "d", None),  # several encounters, but the team put all in fold 4: a stranger all the same
            ("d2", "d", None),
            ("d3", "d", "day4"),
            ("e1", "e", "day3"),  # a single photo
        ],
        schema=["image", "individual_id", "encounter"],
        orient="row",
    )
    folds = np.array([0, 0, 4, 0, 4, 0, 0, 4, 4, 4, 0])
    report = describe_folds(train, np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 4]), folds)
    assert report.photos == {0: 6, 4: 5}
    assert report.strangers == {0: 3, 4: 3}  # c1 c2 e1; d1 d2 d3
    assert report.single_photo == 1  # e
    assert report.single_encounter == 2  # b and c
    assert report.straddling_encounters == 1  # day2
