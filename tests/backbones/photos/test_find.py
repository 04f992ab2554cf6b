"""Photos are found by path, name or stem; never outside the folders, and never guessed."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from backbones.photos import find_photos
from cv import FinblendError

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a folder of empty files, given their relative paths."""

    def made(folder: str, *files: str) -> Path:
        for file in files:
            path = tmp_path / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return made


def only(names: list[str], *folders: Path, paths: list[str | None] | None = None) -> Path | None:
    return find_photos(names, list(folders), paths).files[0]


def test_folders_are_asked_in_order(make: Make) -> None:
    first, second = make("first", "a.jpg", "sub/a.jpg"), make("second", "a.jpg", "b.jpg")
    found = find_photos(["b.jpg", "a.jpg", "c.jpg"], [first, second])
    assert found.files == [second / "b.jpg", first / "a.jpg", None]
    assert found.missing == ["c.jpg"]
    assert found.ambiguous == {}


def test_the_path_comes_before_the_name(make: Make) -> None:
    folder = make("photos", "a.jpg", "left/a.jpg")
    assert only(["a.jpg"], folder, paths=["left/a.jpg"]) == folder / "left" / "a.jpg"
    assert only(["a.jpg"], folder, paths=[None]) == folder / "a.jpg"
    assert only(["a.jpg"], folder, paths=["right/c.jpg"]) == folder / "a.jpg"
    assert only(["a.jpg"], folder, paths=["left\\a.jpg"]) == folder / "left" / "a.jpg"


def test_file_names_are_found_anywhere_below(make: Make) -> None:
    folder = make("photos", "2019/june/a.jpg")
    assert only(["a.jpg"], folder) == folder / "2019/june/a.jpg"
    assert only(["elsewhere/a.jpg"], folder) == folder / "2019/june/a.jpg"


def test_parent_folders_choose_among_equal_names(make: Make) -> None:
    folder = make("photos", "x/train/left/a.jpg", "x/test/left/a.jpg", "x/train/right/a.jpg")
    assert only(["data/train/left/a.jpg"], folder) == folder / "x/train/left/a.jpg"
    found = find_photos(["left/a.jpg"], [folder])
    assert found.files == [None]
    assert found.missing == []
    assert found.ambiguous == {"left/a.jpg": [folder / "x/test/left/a.jpg", folder / "x/train/left/a.jpg"]}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a", "a.JPG"),
        ("a.jpg", "a.PNG"),
        ("a.CR2", "a.webp"),
        ("sub/a", "sub/a.tiff"),
        ("a", "deep/er/a.bmp"),
        ("IMG.001", "IMG.001.jpeg"),
    ],
)
def test_stems_find_photos_of_any_extension(make: Make, name: str, file: str) -> None:
    folder = make("photos", file, "other.jpg")
    assert only([name], folder) == folder / file


def test_numbers_after_a_dot_are_no_extension(make: Make) -> None:
    assert only(["IMG.001"], make("photos", "IMG.jpg")) is None


def test_a_dot_in_a_name_is_first_taken_as_part_of_it(make: Make) -> None:
    folder = make("photos", "fin.left.jpg", "fin.jpg")
    assert only(["fin.left"], folder) == folder / "fin.left.jpg"


def test_what_is_no_photo_answers_to_no_stem(make: Make) -> None:
    assert only(["a"], make("photos", "a.txt", "._a.jpg", ".thumbs/a.jpg")) is None


def test_two_photos_of_one_stem_are_ambiguous_and_a_full_name_is_not(make: Make) -> None:
    folder = make("photos", "a.jpg", "a.png")
    found = find_photos(["a", "a.png"], [folder])
    assert found.files == [None, folder / "a.png"]
    assert found.ambiguous == {"a": [folder / "a.jpg", folder / "a.png"]}


def test_nothing_is_found_outside_the_folders(make: Make) -> None:
    folder, outside = make("photos", "a.jpg", "sub/b.jpg"), make("outside", "c.jpg", "a.jpg")
    for name in (
        "../outside/c.jpg",
        "sub/../../outside/c.jpg",
        str(outside / "c.jpg"),
        str(outside / "a.jpg"),
        "..",
        ".",
    ):
        assert find_photos([name], [folder]).missing == [name]
    assert only([str(folder / "a.jpg")], folder) == folder / "a.jpg"
    assert only(["sub/../a.jpg"], folder) == folder / "a.jpg"


def test_a_folder_and_its_subfolder_hold_one_photo_once(make: Make) -> None:
    folder = make("photos", "sub/deep/a.jpg")
    (folder / "sub" / "round").symlink_to(folder)
    assert only(["a.jpg"], folder, folder / "sub") == folder / "sub/deep/a.jpg"


def test_accents_are_one_however_they_are_stored(make: Make) -> None:
    stored, asked = (unicodedata.normalize(form, "Émile.jpg") for form in ("NFD", "NFC"))
    assert stored != asked
    folder = make("photos", stored)
    assert only([asked], folder) == folder / stored


def test_folders_are_walked_once_and_only_if_need_be(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    folder, listed, real = make("photos", "a.jpg", "b.jpg", "sub/c.jpg"), [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: (listed.append(str(place)), real(place))[1])
    assert not find_photos(["a.jpg", "b.jpg"], [folder]).missing
    assert len(listed) == 1
    listed.clear()
    assert find_photos(["c.jpg", "d.jpg", "e.jpg", "b.jpg"], [folder]).missing == ["d.jpg", "e.jpg"]
    assert len(listed) == 2


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(
        FinblendError, match=r"a\.csv: is a file, and a folder of photos, a \.zip or TFRecords is wanted$"
    ):
        find_photos(["a.jpg"], [tmp_path / "a.csv"])
    with pytest.raises(FinblendError, match=r"nowhere: no such folder$"):
        find_photos(["a.jpg"], [tmp_path / "nowhere"])


@pytest.mark.realdata
def test_real_photos_are_all_found(real_data: Path) -> None:
    import polars as pl

    names = pl.read_csv(real_data / "photoid" / "train.csv")["image"].to_list()
    found = find_photos(names, [real_data / "photoid" / "test_images", real_data / "photoid" / "train_images"])
    assert [file and file.name for file in found.files] == names
    again = find_photos([name.removesuffix(".jpg") for name in names], [real_data / "photoid"])
    assert again.files == found.files
