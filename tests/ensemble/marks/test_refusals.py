"""Whatever is wrong with a call of `match` is said in one line, before anything is read or made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from marked import Marked, Planted, use_planted
from refusals import refusal

from ensemble.cli import main
from ensemble.project.lock import locked


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    marked = Marked(tmp_path_factory.mktemp("refused"))
    marked.add_model()
    return marked


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("match P marks", "--images"),
        ("match P", "NAME"),
        ("match Q marks --images photos", "Q: is not a finblend project"),
        ("match P marks --images gone", "gone"),
        ("match P marks --images P", "none of the catalogue's 30 photos is there"),
        ("match P m --images photos", "m: is a model of P; a pair source needs another name"),
        ("match P ../x --images photos", "../x"),
        ("match P marks --images photos --features sifft", "sift"),
        ("match P marks --images photos --matcher glue", "--matcher must be one of ratio, lightglue, but got glue"),
        ("match P marks --images photos --matcher lightglue", "sift"),
        ("match P marks --images photos --verify rigid", "--verify must be one of affine, homography, none"),
        ("match P marks --images photos --shortlist -1", "shortlist=-1"),
        ("match P marks --images photos --shortlist few", "'few' is no whole number"),
        ("match P marks --images photos --keypoints 0", "keypoints=0"),
        ("match P marks --images photos --keypoints 20000", "keypoints=20000"),
        ("match P marks --images photos --max-rotation 0", "max_rotation=0"),
        ("match P marks --images photos --max-rotation 181", "max_rotation=181"),
        ("match P marks --images photos --max-rotation nan", "max_rotation=nan"),
        ("match P marks --images photos --workers 0", "workers=0"),
        ("match P marks --images photos --boxes gone.csv", "gone.csv"),
        ("match P marks --images photos --boxes train.csv --box-form round", "round"),
    ],
)
def test_it_is_refused(
    world: Marked, line: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.photos.parent)
    assert said in refusal(world.photos.parent, line, capsys)
    # before features are extracted
    assert not (world.project / "features").exists()


def test_photos_that_show_nothing_are_refused(
    world: Marked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Photos in one colour, and none that can be read."""
    monkeypatch.chdir(world.photos.parent)
    monkeypatch.setattr("backbones.local_features.extract.build_local", lambda name, keypoints: Planted(0))
    line = "match P marks --images photos --workers 1"
    assert main(line.split()) == 1
    found = capsys.readouterr().err.splitlines()
    assert found == ["finblend: --features sift: finds nothing on any of the 30 photos"]
    assert not (world.project / "pairs").exists()
    shutil.rmtree(world.project / "features")


def test_a_name_is_taken_once_and_one_call_at_a_time_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_planted(monkeypatch)
    Marked(tmp_path)
    monkeypatch.chdir(tmp_path)
    line = "match P marks --images photos --verify none --workers 1"
    assert main(line.split()) == 0
    assert "marks is a pair source now; 'finblend tune P'" in capsys.readouterr().out
    assert "marks is a pair source already; use --replace" in refusal(tmp_path, line, capsys)
    with locked(tmp_path / "P" / "cache" / "match" / "marks.lock", "x"):
        assert "is being made by process" in refusal(tmp_path, f"{line} --replace", capsys)
    # of one kind of features there is one store
    with locked(tmp_path / "P" / "cache" / "features" / "sift.lock", "x"):
        assert "features: is being made by process" in refusal(tmp_path, line.replace("marks", "more"), capsys)
    assert main([*line.split(), "--replace", "--json"]) == 0
    assert '"compared": 0' in capsys.readouterr().out
