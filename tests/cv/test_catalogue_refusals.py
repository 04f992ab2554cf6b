"""Bad catalogues are refused in one line that names the file, the row (1-based, below the header) and the value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cv import FinblendError, read_catalogue
from cv.tables import read_table

TRAIN = "image,species,individual_id\na.jpg,beluga,ann\nb.jpg,beluga,bob\nc.jpg,beluga,ann\n"
TEST = "image,predictions\nt1.jpg,new_individual\nt2.jpg,new_individual\n"


def refusal(folder: Path, train: str = TRAIN, test: str | None = TEST) -> str:
    """The one line with which two CSV files are refused; the files are called photos.csv and sample.csv."""
    (folder / "photos.csv").write_text(train)
    if test is not None:
        (folder / "sample.csv").write_text(test)
    with pytest.raises(FinblendError) as caught:
        read_catalogue(folder / "photos.csv", None if test is None else folder / "sample.csv")
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(f"{folder}/", "")


def test_the_tables_that_the_refusals_start_from_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text(TRAIN)
    (tmp_path / "sample.csv").write_text(TEST)
    assert read_catalogue(tmp_path / "photos.csv", tmp_path / "sample.csv")[0].frame.height == 5


def test_missing_columns_are_refused_with_those_accepted_and_those_there(tmp_path: Path) -> None:
    line = refusal(tmp_path, "file,individual_id\na.jpg,ann\n")
    assert line == "photos.csv: needs a column image or image_id or path; it has file, individual_id"
    line = refusal(tmp_path, "image,name\na.jpg,ann\n")
    assert line == "photos.csv: needs a column individual_id or identity; it has image, name"
    line = refusal(tmp_path, test="file\nt1.jpg\n")
    assert line == "sample.csv: needs a column image or image_id or path; it has file"


def test_repeated_images_are_refused_at_the_second(tmp_path: Path) -> None:
    line = refusal(tmp_path, TRAIN + "b.jpg,beluga,eve\n")
    assert line == "photos.csv: row 4: image b.jpg stands twice; every image stands once"
    line = refusal(tmp_path, test=TEST + "t1.jpg,new_individual\n")
    assert line == "sample.csv: row 3: image t1.jpg stands twice; every image stands once"


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_image_is_refused(tmp_path: Path, empty: str) -> None:
    assert refusal(tmp_path, TRAIN + f"{empty},beluga,eve\n") == "photos.csv: row 4: image is empty"
    assert refusal(tmp_path, test=f"image,predictions\n{empty},new_individual\n") == "sample.csv: row 1: image is empty"


def test_an_image_in_train_and_test_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, test=TEST + "b.jpg,new_individual\n")
    assert line == "sample.csv: row 3: image b.jpg is a train photo too"


def test_an_image_that_is_unlabelled_and_test_stands_once(tmp_path: Path) -> None:
    # the whole wildlife frame, and a sample that lists its unknown photos: one row a photo all the same
    (tmp_path / "photos.csv").write_text(TRAIN + "t1.jpg,beluga,unknown\n")
    (tmp_path / "sample.csv").write_text(TEST)
    try:
        images = read_catalogue(tmp_path / "photos.csv", tmp_path / "sample.csv")[0].frame["image"].to_list()
    except FinblendError as refused:  # refusing it would be as good, if the image is named
        images = str(refused).replace(":", " ").split()
    assert images.count("t1.jpg") == 1


@pytest.mark.parametrize("name", ["new_individual", " new_individual ", "new individual"])
def test_an_individual_cannot_be_called_new_individual(tmp_path: Path, name: str) -> None:
    line = refusal(tmp_path, TRAIN + f"d.jpg,beluga,{name}\n")
    assert line.startswith("photos.csv: ")
    assert name.strip() in line


def test_new_individual_is_refused_at_its_row(tmp_path: Path) -> None:
    line = refusal(tmp_path, TRAIN + "d.jpg,beluga,new_individual\n")
    assert line == "photos.csv: row 4: an individual cannot be called new_individual"


@pytest.mark.parametrize("other", ["big_fin", "big\tfin", "big  fin"])
def test_two_names_that_become_one_without_spaces_are_refused(tmp_path: Path, other: str) -> None:
    line = refusal(tmp_path, TRAIN + f"d.jpg,beluga,big fin\ne.jpg,beluga,{other}\n")
    assert line.startswith("photos.csv: individual 'big")
    assert "equals another one" in line


def test_a_catalogue_without_test_photos_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, test=None).startswith("photos.csv: no test photos; give --test")
    assert "no test photos" in refusal(tmp_path, test="image,predictions\n")


def test_a_catalogue_without_a_known_individual_is_refused(tmp_path: Path) -> None:
    for rows in ("", "a.jpg,beluga,unknown\nb.jpg,beluga,\n"):
        line = refusal(tmp_path, "image,species,individual_id\n" + rows)
        assert line == "photos.csv: no photo has a known individual"


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text(TRAIN)
    folder = "is a folder; a table is a .csv or .parquet file"
    for missing, told in ((tmp_path / "absent.csv", "no such file"), (tmp_path, folder)):
        for train, test in ((missing, None), (tmp_path / "photos.csv", missing)):
            with pytest.raises(FinblendError) as caught:
                read_catalogue(train, test)
            assert str(caught.value) == f"{missing}: {told}"


def test_empty_files_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, train="") == "photos.csv: is empty"
    assert refusal(tmp_path, test="") == "sample.csv: is empty"


@pytest.mark.parametrize("name", ["photos.xlsx", "photos.json", "photos"])
def test_files_of_an_unknown_kind_are_refused_with_the_kinds_that_are_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TRAIN)
    with pytest.raises(FinblendError) as caught:
        read_catalogue(tmp_path / name)
    suffix = Path(name).suffix
    assert str(caught.value) == f"{tmp_path / name}: unknown kind of table '{suffix}'; use .csv or .parquet"


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("ragged.csv", b"image,individual_id\na.jpg,ann,more\n", "csv"),
        ("latin.csv", b"image,individual_id\na.jpg,ren\xe9\n", "csv"),
        ("not.parquet", b"image,individual_id\n", "parquet"),
    ],
)
def test_files_that_cannot_be_parsed_are_refused_in_one_line(
    tmp_path: Path, file: str, content: bytes, kind: str
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(FinblendError, match=f"{file}: cannot be read as {kind}") as caught:
        read_catalogue(tmp_path / file)
    assert "\n" not in str(caught.value)


def test_frames_are_named_by_what_they_are() -> None:
    good = pl.DataFrame({"image": ["a"], "individual_id": ["ann"]})
    with pytest.raises(FinblendError, match=r"^train: needs a column individual_id or identity; it has image$"):
        read_catalogue(good.drop("individual_id"), good)
    with pytest.raises(FinblendError, match=r"^test: row 1: image a is a train photo too$"):
        read_catalogue(good, pl.DataFrame({"image": ["a"]}))


@pytest.mark.parametrize("thing", [None, 3, {"image": ["a"]}, np.zeros((2, 2))])
def test_things_that_are_no_table_are_refused_by_their_type(thing: object) -> None:
    with pytest.raises(FinblendError, match=f"photos: expected a path.* got {type(thing).__name__}"):
        read_table(thing, "photos")
