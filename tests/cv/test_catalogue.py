"""Reading a catalogue: both layouts, every kind of table, original rows, kept columns, labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cv import Catalogue, read_catalogue
from cv.catalogue import NO_SPECIES

KAGGLE = pl.DataFrame(
    {
        "image": ["b.jpg", "a.jpg", "d.jpg", "c.jpg"],
        "species": ["kiler_whale", "beluga", "killer_whale", "beluga"],
        "individual_id": ["zoe", "ann", "zoe", "bob"],
        "camera": ["x", "y", "x", "z"],
    }
)
SAMPLE = pl.DataFrame({"image": ["t2.jpg", "t1.jpg"], "predictions": ["new_individual", "new_individual"]})
WILDLIFE = pl.DataFrame(
    {
        "image_id": ["w1", "w2", "w3", "w4", "w5"],
        "identity": ["ann", "unknown", "bob", "", "ann"],
        "path": ["img/1.jpg", "img/2.jpg", "img/3.jpg", "img/4.jpg", "img/5.jpg"],
        "species": ["turtle", "turtle", "turtle", "turtle", "turtle"],
        "date": ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-01"],
    }
)


def as_csv(frame: pl.DataFrame, folder: Path, name: str) -> Any:
    """The path of a CSV file."""
    frame.write_csv(folder / f"{name}.csv")
    return folder / f"{name}.csv"


def as_text_path(frame: pl.DataFrame, folder: Path, name: str) -> Any:
    """The path of a CSV file as text, suffix in capitals."""
    frame.write_csv(folder / f"{name}.CSV")
    return str(folder / f"{name}.CSV")


def as_parquet(frame: pl.DataFrame, folder: Path, name: str) -> Any:
    """The path of a Parquet file."""
    frame.write_parquet(folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


def as_polars(frame: pl.DataFrame, folder: Path, name: str) -> Any:
    """The frame itself."""
    return frame


def as_pandas(frame: pl.DataFrame, folder: Path, name: str) -> Any:
    """A pandas frame whose index is not 0, 1, 2."""
    pytest.importorskip("pandas")
    return frame.to_pandas().set_index(np.arange(frame.height)[::-1] * 10)


@pytest.mark.parametrize("written", [as_csv, as_text_path, as_parquet, as_polars, as_pandas])
def test_every_kind_of_table_gives_the_same_catalogue(
    written: Callable[[pl.DataFrame, Path, str], Any], tmp_path: Path
) -> None:
    for train, test in ((KAGGLE, SAMPLE), (WILDLIFE, None), (WILDLIFE, SAMPLE)):
        got, report = read_catalogue(
            written(train, tmp_path, "train"), None if test is None else written(test, tmp_path, "test")
        )
        expected, expected_report = read_catalogue(train, test)
        assert got.frame.equals(expected.frame)
        assert got.frame.schema == expected.frame.schema
        assert report == expected_report


def test_integer_names_with_gaps_are_the_same_from_csv_and_from_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / "train.csv").write_text("image,individual_id\na.jpg,1\nb.jpg,12\nc.jpg,\n")
    by_path, _ = read_catalogue(tmp_path / "train.csv")
    by_frame, _ = read_catalogue(pandas.read_csv(tmp_path / "train.csv"))
    assert by_path.individuals == ["1", "12"]
    assert by_frame.individuals == by_path.individuals


def test_kaggles_layout_row_by_row() -> None:
    catalogue, report = read_catalogue(KAGGLE, SAMPLE)
    assert catalogue.frame.rows() == [
        ("b.jpg", "zoe", "killer_whale", "train", None, 0, None, "x"),
        ("a.jpg", "ann", "beluga", "train", None, 1, None, "y"),
        ("d.jpg", "zoe", "killer_whale", "train", None, 2, None, "x"),
        ("c.jpg", "bob", "beluga", "train", None, 3, None, "z"),
        ("t2.jpg", None, None, "test", None, 0, None, None),
        ("t1.jpg", None, None, "test", None, 1, None, None),
    ]
    names = ["image", "individual_id", "species", "split", "fold", "row", "encounter", "camera"]
    assert catalogue.frame.columns == names
    assert (report.raw_species, report.unlabelled_images, report.renamed_individuals) == (3, 0, 0)
    assert [(r.raw, r.repaired, r.photos) for r in report.repairs] == [("kiler_whale", "killer_whale", 1)]


def test_without_test_photos_the_unknown_of_the_wildlife_layout_are_test() -> None:
    catalogue, report = read_catalogue(WILDLIFE)
    assert catalogue.train["image"].to_list() == ["w1", "w3", "w5"]
    assert catalogue.test["image"].to_list() == ["w2", "w4"]
    assert catalogue.frame["row"].to_list() == [0, 2, 4, 1, 3]  # rows of the file they came from
    assert catalogue.test["individual_id"].to_list() == [None, None]
    assert report.unlabelled_images == 0


def test_with_test_photos_the_unknown_of_the_wildlife_layout_are_unlabelled() -> None:
    catalogue, report = read_catalogue(WILDLIFE, SAMPLE)
    assert catalogue.test["image"].to_list() == ["t2.jpg", "t1.jpg"]
    assert catalogue.frame.filter(pl.col("split") == "unlabelled")["image"].to_list() == ["w2", "w4"]
    assert catalogue.frame.filter(pl.col("split") == "unlabelled")["row"].to_list() == [1, 3]
    assert report.unlabelled_images == 2
    assert catalogue.individuals == ["ann", "bob"]


def test_further_columns_are_kept_on_both_sides() -> None:
    sample = SAMPLE.with_columns(camera=pl.Series(["q", "r"]), lens=pl.Series(["1", "2"]))
    catalogue, _ = read_catalogue(KAGGLE, sample)
    assert catalogue.frame["camera"].to_list() == ["x", "y", "x", "z", "q", "r"]
    assert catalogue.frame["lens"].to_list() == [None, None, None, None, "1", "2"]
    assert "predictions" not in catalogue.frame.columns
    wild, _ = read_catalogue(WILDLIFE)
    assert wild.train["path"].to_list() == ["img/1.jpg", "img/3.jpg", "img/5.jpg"]
    assert wild.train["date"].to_list() == ["2020-01-01", "2020-01-03", "2020-01-01"]


def test_a_further_column_may_be_of_another_kind_in_the_two_tables() -> None:
    train = KAGGLE.with_columns(bbox=pl.Series([[0.0, 1.0, 2.0, 3.0]] * 4))
    catalogue, _ = read_catalogue(train, SAMPLE.with_columns(bbox=pl.lit("[0, 1, 2, 3]")))
    assert catalogue.frame["bbox"].null_count() == 0


@pytest.mark.parametrize("column", ["row", "fold", "split"])
def test_a_table_may_have_a_column_that_the_catalogue_fills_itself(column: str) -> None:
    extra = pl.Series(column, ["7", "8", "9", "10"])
    catalogue, _ = read_catalogue(KAGGLE.with_columns(extra), SAMPLE.with_columns(extra.head(2)))
    assert catalogue.frame["row"].to_list() == [0, 1, 2, 3, 0, 1]
    assert catalogue.frame["fold"].null_count() == 6
    assert catalogue.frame["split"].to_list() == ["train"] * 4 + ["test"] * 2


def test_species_of_test_photos_are_repaired_too_and_missing_species_get_one_name() -> None:
    test = SAMPLE.with_columns(species=pl.Series(["globis", None]))
    assert read_catalogue(KAGGLE, test)[0].test["species"].to_list() == ["short_finned_pilot_whale", NO_SPECIES]
    plain, report = read_catalogue(KAGGLE.drop("species"), SAMPLE)
    assert plain.train["species"].to_list() == [NO_SPECIES] * 4
    assert (report.raw_species, report.repairs) == (1, [])


def test_labels_and_species_are_indices_into_sorted_names() -> None:
    catalogue, report = read_catalogue(
        pl.DataFrame(
            {
                "image": list("abcdef"),
                "individual_id": ["zoe", "ann", "zoe", "bob", "zoe", "bob"],
                "species": ["orca", "orca", "beluga", "orca", "beluga", "beluga"],
            }
        ),
        SAMPLE,
    )
    assert catalogue.individuals == ["ann", "bob", "zoe"]
    assert catalogue.labels.tolist() == [2, 0, 2, 1, 2, 1]
    assert catalogue.labels.dtype == np.int32
    assert catalogue.species == ["beluga", "orca"]
    assert catalogue.species_of_individual.tolist() == [1, 0, 0]  # most photos; bob's tie goes to the first name
    assert report.individuals_of_several_species == 2


def test_names_are_trimmed_and_their_spaces_written_with_underscores() -> None:
    names = pl.Series("individual_id", ["  zoe", "big  fin", "big  fin", "left\tear"])
    catalogue, report = read_catalogue(KAGGLE.with_columns(names), SAMPLE)
    assert catalogue.train["individual_id"].to_list() == ["zoe", "big_fin", "big_fin", "left_ear"]
    assert catalogue.train["individual_name"].to_list() == ["zoe", "big  fin", "big  fin", "left\tear"]
    assert report.renamed_individuals == 2


def test_a_saved_catalogue_is_loaded_as_it_was(tmp_path: Path) -> None:
    catalogue, _ = read_catalogue(WILDLIFE, SAMPLE)
    folds = pl.Series("fold", [0, 2, 1, None, None, None, None], dtype=pl.Int32)
    catalogue = Catalogue(catalogue.frame.with_columns(folds))
    catalogue.save(tmp_path / "catalogue.parquet")
    loaded = Catalogue.load(tmp_path / "catalogue.parquet")
    assert loaded.frame.equals(catalogue.frame)
    assert loaded.folds.tolist() == [0, 2, 1]
    assert loaded.fold_ids == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue.parquet"]
