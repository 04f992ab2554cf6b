"""`init --split` through the command line: told, kept in the settings, made again; no answer lies in the project."""

from __future__ import annotations

import shlex
from pathlib import Path

import polars as pl
import pytest
from small import Small

from ensemble import Project
from ensemble.cli import main
from ensemble.report.sections.commands import recipe


@pytest.fixture
def frame(small: Small, tmp_path: Path) -> Path:
    """Photos of the small catalogue with all their names; those of two strangers and one left out are like no other."""
    split = ["train"] * len(small.train_images) + ["query"] * (len(small.test_images) - 1) + [""]
    names = small.individuals + [f"secret{i}" if i > 9 else f"id{i:02d}" for i in small.answers]
    images = small.train_images + small.test_images
    table = pl.DataFrame({"path": images, "identity": names, "species": "beluga", "part": split, "split": "train"})
    table.with_columns(identity_original="old " + pl.col("identity")).write_csv(tmp_path / "frame.csv")
    return tmp_path / "frame.csv"


def test_init_parts_a_frame_and_tells_what_it_leaves_out(
    frame: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "P", "--train", str(frame), "--split", "part"]) == 0
    told = capsys.readouterr()
    assert "60 train photos of 14 individuals, 1 species; 11 test photos" in told.out
    assert told.err.splitlines() == [
        "finblend: warning: 1 photos are in neither part of the split; they play no part",
        "finblend: warning: of the split's test photos these columns are left out, for they may tell names: "
        "identity_original",
    ]
    project = Project.open("P")
    assert project.settings["split"] == "part"
    # Parquet is packed: its bytes would not show a name
    assert "secret" not in project.catalogue.frame.write_csv()
    assert "secret" not in Path("P/project.json").read_text()
    # made again from its own settings
    (tmp_path / "P" / "commands.jsonl").unlink()
    line = recipe(project, {}, None)[0].splitlines()[0]
    before = project.photos_hash
    Path("P").rename("old")
    assert main(shlex.split(line)[1:]) == 0
    assert Project.open("P").photos_hash == before


def test_a_column_of_splits_that_is_not_asked_for_is_told(
    frame: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.read_csv(frame, infer_schema=False).with_columns(
        identity=pl.when(pl.col("part") == "query").then(pl.lit("unknown")).otherwise("identity")
    )
    table.write_csv(frame)
    assert main(["init", str(tmp_path / "P"), "--train", str(frame)]) == 0
    assert "has a column 'split' that is not used: with --split split" in capsys.readouterr().err


def test_a_wrong_split_is_refused_in_one_line(frame: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["--split", "species"], "'beluga' is none of train, database, gallery, test, query"),
        (["--split", "part", "--test", str(frame)], "leave --test out"),
        (["--split", f"{frame}:nope"], "has no column 'nope'"),
    ):
        assert main(["init", str(tmp_path / "P"), "--train", str(frame), *words]) == 1
        line = capsys.readouterr().err
        assert told in line
        assert len(line.splitlines()) == 1
        assert not (tmp_path / "P").exists()
