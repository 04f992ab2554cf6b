"""The demo, small: from painted photos to scored answers."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from cv import map5
from ensemble.cli import main


def test_the_demo_runs_from_photos_to_scored_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", str(folder), "--individuals", "20", "--trials", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    # five species are told apart even by networks that never saw a fin: far above chance, below perfection
    assert 0.3 < report["blend"] < 1
    assert report["gain"] == pytest.approx(report["blend"] - report["best_single"])
    assert [path.name for path in map(Path, report["sheets"])] == ["photos.png", "answers.png"]
    for sheet in report["sheets"]:
        with Image.open(sheet) as image:
            assert image.format == "PNG"
            assert min(image.size) > 200
    # the figure is that of the file that was written
    answers = pl.read_csv(folder / "data" / "answers.csv")
    said = pl.read_csv(report["submission"])["predictions"].str.split(" ").to_list()
    assert map5(said, answers["answer"].to_list()) == pytest.approx(report["blend"])
    assert main(["check", report["submission"], "--sample", str(folder / "data" / "sample_submission.csv")]) == 0


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        ([str(tmp_path)], "already exists"),
        ([str(tmp_path / "a"), "--individuals", "3"], "individuals must be a whole number >= 20"),
        ([str(tmp_path / "a"), "--trials", "-1"], "--trials >= 0 must hold"),
    ):
        assert main(["demo", *arguments]) == 1
        line = capsys.readouterr().err.strip()
        assert told in line
        assert "\n" not in line
    assert not (tmp_path / "a").exists()
