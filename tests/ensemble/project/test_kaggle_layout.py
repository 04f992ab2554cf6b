"""A competition as it was downloaded: a folder, one folder deeper, a zip, or tables zipped alone."""

from __future__ import annotations

import shlex
import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest
from small import Small

from cv.errors import FinblendError
from cv.tables import read_table
from ensemble import Project, init
from ensemble.cli import main
from ensemble.project.kaggle_layout import kaggle_layout
from ensemble.report.sections.commands import recipe


def zipped(path: Path, small: Small, inside: str = "", photos: bool = True) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in (small.train_csv, small.sample_csv):
            archive.write(table, f"{inside}{table.name}")
        if photos:
            archive.writestr(f"{inside}train_images/tr000.jpg", b"photo")
    return path


def hashed(project: Path) -> str:
    return Project.open(project).photos_hash


@pytest.fixture
def plain(small: Small, tmp_path: Path) -> str:
    """The catalogue by --train and --test, which every layout must give."""
    init(tmp_path / "plain", train=small.train_csv, test=small.sample_csv)
    return hashed(tmp_path / "plain")


def test_a_folder_as_downloaded(small: Small, plain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train_images", "test_images"):
        (small.folder / name).mkdir()
    assert main(["init", str(tmp_path / "P"), "--kaggle", str(small.folder)]) == 0
    words = ["--images", str(small.folder / "train_images"), "--images", str(small.folder / "test_images")]
    assert capsys.readouterr().out.splitlines()[-1] == f"photos: {shlex.join(words)}"
    assert hashed(tmp_path / "P") == plain
    assert Project.open(tmp_path / "P").settings["report"]["photos"] == words[1::2]


@pytest.mark.parametrize("inside", ["", "happywhale/"])
def test_a_zip_is_read_in_place(small: Small, plain: str, tmp_path: Path, inside: str) -> None:
    archive = zipped(tmp_path / "h.ZIP", small, inside)
    before = sorted(tmp_path.rglob("*"))
    layout = kaggle_layout(archive)
    assert layout.train == archive / f"{inside}train.csv"
    assert layout.photos == [archive]
    assert sorted(tmp_path.rglob("*")) == before
    assert init(tmp_path / "P", kaggle=archive).photos == [str(archive)]
    assert hashed(tmp_path / "P") == plain


def test_one_folder_deeper_zipped_tables_and_a_folder_with_nothing_but_the_zip(
    small: Small, plain: str, tmp_path: Path
) -> None:
    deep = tmp_path / "all" / "data"
    deep.mkdir(parents=True)
    for table in (small.train_csv, small.sample_csv):
        with zipfile.ZipFile(deep / f"{table.name}.zip", "w") as archive:
            archive.write(table, table.name)
    (tmp_path / "all" / "notes").mkdir()
    assert init(tmp_path / "P", kaggle=tmp_path / "all").photos == []
    zipped(tmp_path / "all" / "notes" / "h.zip", small, photos=False)
    assert init(tmp_path / "Q", kaggle=tmp_path / "all" / "notes").photos == []
    assert {hashed(tmp_path / name) for name in "PQ"} == {plain}


def test_the_report_tells_the_line_that_makes_it_again(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", kaggle=small.folder, seed=3)
    line = recipe(Project.open(tmp_path / "P"), {}, None)[0].splitlines()[0]
    assert line == f"finblend init P --kaggle {small.folder} --folds 5 --seed 3"


def test_what_is_no_competition_is_refused(small: Small, tmp_path: Path) -> None:
    def told(place: Path) -> str:
        with pytest.raises(FinblendError) as refused:
            kaggle_layout(place)
        return str(refused.value)

    assert told(tmp_path / "gone") == f"--kaggle {tmp_path / 'gone'}: no such folder or zip"
    (tmp_path / "empty").mkdir()
    assert told(tmp_path / "empty").endswith("no train.csv, there or one folder deeper; it holds nothing")
    for name in "ab":
        shutil.copytree(small.folder, tmp_path / "two" / name)
    assert "several folders hold train.csv" in told(tmp_path / "two")
    (tmp_path / "two" / "a" / "sample_submission.csv").unlink()
    assert told(tmp_path / "two" / "a").endswith("has train.csv but no sample_submission.csv")
    half = zipped(tmp_path / "h.zip", small).read_bytes()[:300]
    (tmp_path / "half.zip").write_bytes(half)
    assert told(tmp_path / "half.zip").endswith("(File is not a zip file); is it downloaded whole?")
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("deep/er/train.csv", "image")
        archive.writestr("readme.txt", "")
    assert "no train.csv, there or one folder deeper; it holds deep/er/train.csv" in told(tmp_path / "none.zip")
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        archive.writestr("x/train.csv", "image")
    assert told(tmp_path / "part.zip").endswith("has x/train.csv but no x/sample_submission.csv")
    with pytest.raises(FinblendError, match="give either --kaggle, or --train and --test"):
        init(tmp_path / "P", kaggle=small.folder, test=small.sample_csv)
    with pytest.raises(FinblendError, match="give --train FILE, or --kaggle"):
        init(tmp_path / "P")
    assert not (tmp_path / "P").exists()


def test_any_table_may_lie_in_a_zip(tmp_path: Path) -> None:
    frame = pl.DataFrame({"image": ["a", "b"], "n": ["1", "2"]})
    frame.write_parquet(tmp_path / "t.parquet")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "t.parquet", "x/t.parquet")
        archive.writestr("t.csv", "image,n\na,1\nb,2\n")
        archive.writestr("semi.csv", "image;n\na;1\n")
        archive.writestr("bad.parquet", "image")
        archive.writestr("empty.csv", "")
        archive.writestr("t.txt", "")
    for name in ("x/t.parquet", "t.csv"):
        found, called = read_table(tmp_path / "z.zip" / name)
        assert found.equals(frame)
        assert called == f"{tmp_path}/z.zip/{name}"
    for name, told in {
        "gone.csv": r"gone\.csv: no such file in .*z\.zip",
        "semi.csv": "its header is parted by semicolons",
        "bad.parquet": "cannot be read as parquet",
        "empty.csv": r"empty\.csv: is empty",
        "t.txt": "unknown kind of table",
    }.items():
        with pytest.raises(FinblendError, match=told):
            read_table(tmp_path / "z.zip" / name)


def test_a_damaged_member_of_a_zip_is_refused(small: Small, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "h.zip", small)
    content = bytearray(archive.read_bytes())
    content[200:220] = bytes(20)
    archive.write_bytes(content)
    with pytest.raises(FinblendError, match=r"h\.zip: cannot be read as zip"):
        init(tmp_path / "P", kaggle=archive)


@pytest.mark.realdata
def test_the_real_tables_are_the_same_in_a_folder_and_in_a_zip(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "happywhale"
    with zipfile.ZipFile(tmp_path / "h.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.mkdir("test_images")
        for name in ("train.csv", "sample_submission.csv"):
            archive.write(folder / name, name)
    plain, packed = kaggle_layout(folder), kaggle_layout(tmp_path / "h.zip")
    assert packed.photos == []
    for one, other, rows in ((plain.train, packed.train, 51033), (plain.test, packed.test, 27956)):
        assert read_table(one)[0].equals(read_table(other)[0])
        assert read_table(other)[0].height == rows


def test_a_table_that_is_packed_to_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", b"image\n" + bytes(2**24))
    with pytest.raises(FinblendError, match=r"a\.zip/train\.csv: unpacks to 16,777,222 bytes, over 200 times"):
        read_table(tmp_path / "a.zip" / "train.csv")
