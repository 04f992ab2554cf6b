"""Values of tables as text, and tables whose values cannot be read as text."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cv import FinblendError, read_catalogue
from cv.species import read_species_map
from cv.tables import as_text, read_table

TEST = pl.DataFrame({"image": ["t1.jpg"]})


def catalogue_table(**columns: pl.Series) -> pl.DataFrame:
    """Three photos of two individuals, with some columns replaced or added."""
    plain = {"image": ["a.jpg", "b.jpg", "c.jpg"], "individual_id": ["ann", "ann", "bob"]}
    return pl.DataFrame(plain).with_columns(**columns)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, 12], ["1", "12"]),
        ([1.0, None, 12.0], ["1", None, "12"]),  # pandas turns a column of whole numbers with a gap into floats
        ([1.0, float("nan")], ["1", None]),
        ([1.5, 2.0], ["1.5", "2.0"]),  # these never were whole numbers
        (["1.0", "a", ""], ["1.0", "a", ""]),  # text stays as it is
        ([None, None], [None, None]),
    ],
)
def test_values_become_the_text_a_csv_file_holds(values: list[object], text: list[str | None]) -> None:
    assert as_text(pl.Series(values)).to_list() == text


@pytest.mark.parametrize("number", [float("inf"), 1e20])
def test_floats_that_are_no_int64_do_not_end_in_a_traceback(number: float) -> None:
    table = catalogue_table(individual_id=pl.Series([1.0, 2.0, number]))
    try:
        names = read_catalogue(table, TEST)[0].individuals
    except FinblendError as refused:  # refusing the row would be as good
        names = ["", "", str(refused)]
    assert len(names) == 3


@pytest.mark.parametrize("column", ["image", "individual_id"])
def test_names_that_are_lists_are_refused_by_column(column: str) -> None:
    table = catalogue_table(**{column: pl.Series([["a"], ["b"], ["c"]])})
    with pytest.raises(FinblendError, match=column):
        read_catalogue(table, TEST)


def test_a_pandas_column_of_mixed_values_is_kept_or_refused_by_name() -> None:
    # pandas reads such columns from every second spreadsheet; they need not be columns that finblend uses
    table = pytest.importorskip("pandas").DataFrame(
        {"image": ["a.jpg", "b.jpg"], "individual_id": ["ann", "bob"], "note": [1, "late"]}
    )
    try:
        notes = read_catalogue(table, TEST)[0].train["note"].to_list()
    except FinblendError as refused:
        assert "note" in str(refused)  # noqa: PT017
    else:
        assert notes == ["1", "late"]


def test_a_species_map_that_gives_one_name_two_ways_is_refused(tmp_path: Path) -> None:
    # silently taking the last of the two would be a repair that nobody asked for
    (tmp_path / "map.csv").write_text("raw,repaired\nglobis,pilot_whale\nglobis,killer_whale\n")
    with pytest.raises(FinblendError, match=r"map\.csv: .*globis"):
        read_species_map(tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("image;individual_id", "semicolons"),
        ('"image";"individual_id"', "semicolons"),
        ("image\tindividual_id", "tabs"),
        ("sep=;", "semicolons"),
    ],
)
def test_columns_that_no_commas_part_are_told_as_such(tmp_path: Path, header: str, told: str) -> None:
    path = tmp_path / "train.csv"
    # decimal commas do not make it a table of commas
    path.write_text(f"{header}\na.jpg;0,5\nb.jpg;0,2\n")
    with pytest.raises(FinblendError, match=rf"train\.csv: its header is parted by {told}; columns must be .* commas"):
        read_table(path)


def test_semicolons_within_a_table_of_commas_are_text(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("image,note;remark\na.jpg,left; dark\n")
    assert read_table(path)[0].rows() == [("a.jpg", "left; dark")]
    path.write_text("image\na;b.jpg\n")
    assert read_table(path)[0].rows() == [("a;b.jpg",)]
