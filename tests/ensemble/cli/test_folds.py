"""init's folds from the command line: individuals held out, encounters that straddle or were not asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small import Small

from ensemble import Project
from ensemble.cli import main


def test_held_out_individuals_are_strangers_and_told(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["init", "--train", str(small.train_csv), "--test", str(small.sample_csv), "--hold-out", "3"]
    assert main([*line, str(tmp_path / "P")]) == 0
    told = capsys.readouterr().out
    assert "4 individuals have one photo, 3 are held out: strangers in their own fold" in told
    catalogue = Project.open(tmp_path / "P").catalogue
    folds = catalogue.train.group_by("individual_id").agg(pl.col("fold").n_unique(), n=pl.len())
    assert folds.filter((pl.col("fold") == 1) & (pl.col("n") > 1)).height == 3
    assert main([*line, str(tmp_path / "Q"), "--seed", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["held_out_individuals"] == 3
    settings = json.loads((tmp_path / "Q" / "project.json").read_text())
    assert (settings["hold_out"], settings["seed"]) == (3, 1)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ([], "--folds 5: 4 labelled photos cannot fill 5 folds"),
        (["--hold-out", "1", "--folds", "4"], "--folds 4: 4 labelled photos (1 held out) cannot fill 4 folds"),
        (["--encounters", "day"], "--folds 5: 1 encounter and 2 labelled photos without one cannot fill 5 folds"),
    ],
)
def test_what_is_too_little_for_the_folds_is_called_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    rows = ["image,species,individual_id,day", "a.jpg,s,i,mon", "b.jpg,s,i,mon", "c.jpg,s,j,", "d.jpg,s,j,"]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    (tmp_path / "sample.csv").write_text("image,predictions\nt.jpg,new_individual\n")
    tables = ["--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / "sample.csv")]
    assert main(["init", str(tmp_path / "P"), *tables, *more]) == 1
    assert capsys.readouterr().err.strip() == f"finblend: {line}"


def test_a_model_trained_by_fold_scores_the_held_out_as_strangers(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every individual has several photos; without --hold-out nobody could play the stranger."""
    single = pl.len().over("individual_id") == 1
    several = pl.when(single).then(pl.lit("id99")).otherwise("individual_id").alias("individual_id")
    pl.read_csv(small.train_csv).with_columns(several).write_csv(tmp_path / "several.csv")
    for project, more in (("P", []), ("Q", ["--hold-out", "3"])):
        line = ["init", str(tmp_path / project), "--train", str(tmp_path / "several.csv")]
        assert main([*line, "--test", str(small.sample_csv), "--folds", "2", *more]) == 0
        for fold in range(2):
            path = str(small.write_npz("m.npz", *small.noisy(fold)))
            line = ["register", str(tmp_path / project), "m", "--fold", str(fold), "--train", path, "--test", path]
            assert main(line) == 0
    capsys.readouterr()
    assert main(["models", str(tmp_path / "P"), "--new-share", "0.2"]) == 1
    assert "out-of-fold there are none" in capsys.readouterr().err
    assert main(["tune", str(tmp_path / "Q"), "--trials", "0", "--nested-trials", "0", "--new-share", "0.2"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "Q"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["new_share"] == pytest.approx(0.2)
    assert found["strangers"] > 0
    assert found["played_strangers"] == 0


def test_encounters_that_a_team_s_folds_split_are_told_by_init_and_wherever_scores_are(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = pl.read_csv(small.train_csv)
    folds = np.arange(60) % 4
    train = train.with_columns(fold=pl.Series(folds), encounter=pl.Series([f"day{i // 2}" for i in range(60)]))
    train.write_csv(small.train_csv)
    project, path = str(tmp_path / "P"), str(small.write_npz("m.npz", *small.noisy(1)))
    line = ["init", project, "--train", str(small.train_csv), "--test", str(small.sample_csv)]
    assert main([*line, "--folds", f"{small.train_csv}:fold", "--encounters", "encounter"]) == 0
    assert "30 encounters have photos in several folds" in capsys.readouterr().err
    assert main(["register", project, "m", "--frozen", "--train", path, "--test", path]) == 0
    for command in (["models", project], ["tune", project, "--trials", "0", "--nested-trials", "0"]):
        # left out whole, wherever their photos lie, they lift no score
        assert main([*command, "--new-share", "0.2"]) == 0
        assert "several folds" not in capsys.readouterr().err
        assert main([*command, "--new-share", "0.2", "--leave-out", "fold"]) == 0
        assert "30 encounters have photos in several folds: out-of-fold photos meet" in capsys.readouterr().err
    assert main(["evaluate", project]) == 0
    assert "30 encounters have photos in several folds: out-of-fold photos meet" in capsys.readouterr().err


def test_a_column_of_encounters_that_is_not_asked_for_is_told(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.read_csv(small.train_csv).with_columns(encounter=pl.col("image")).write_csv(small.train_csv)
    line = ["init", "--train", str(small.train_csv), "--test", str(small.sample_csv)]
    assert main([*line, str(tmp_path / "P")]) == 0
    assert "column 'encounter' that is not used" in capsys.readouterr().err
    assert main([*line, str(tmp_path / "Q"), "--encounters", "encounter"]) == 0
    assert capsys.readouterr().err == ""
