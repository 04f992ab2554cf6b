"""Catalogues whose folds or species do not have what the mix asks for: the share is met or the lack is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cv import FinblendError
from ensemble import evaluate, init, register, tune
from ensemble.cli import main

WIDTH = 16


def odd_project(
    folder: Path, labels: list[str], species: list[str], test_species: list[str], folds: list[int], frozen: bool
) -> Path:
    """Animals of two species that look nothing alike; test has one photo a name in `test_species`."""
    rng = np.random.default_rng(0)
    look = {name: np.eye(WIDTH)[n] * 6 for n, name in enumerate(sorted(set(species)))}
    own = {label: look[kind] + rng.normal(size=WIDTH) for label, kind in zip(labels, species, strict=True)}
    images = [f"t{n}.jpg" for n in range(len(labels))]
    test_images = [f"q{n}.jpg" for n in range(len(test_species))]
    pl.DataFrame({"image": images, "species": species, "individual_id": labels}).write_csv(folder / "train.csv")
    pl.DataFrame({"image": test_images, "predictions": "new_individual"}).write_csv(folder / "sample.csv")
    pl.DataFrame({"image": images, "fold": folds}).write_csv(folder / "folds.csv")
    init(folder / "P", train=folder / "train.csv", test=folder / "sample.csv", folds=f"{folder}/folds.csv:fold")
    train = np.array([own[label] for label in labels]) + 0.3 * rng.normal(size=(len(labels), WIDTH))
    test = np.array([look[kind] for kind in test_species]) + rng.normal(size=(len(test_species), WIDTH))
    for fold in [None] if frozen else sorted(set(folds)):
        # no two folds' networks see alike
        seen = [(a + 0.05 * rng.normal(size=a.shape)).astype(np.float32) for a in (train, test)]
        given = {"train": (images, seen[0]), "test": (test_images, seen[1])}
        register(folder / "P", "m", fold=fold, frozen=frozen, **given)
    return folder / "P"


def twice_and_once(twice: int, once: int) -> list[str]:
    return [f"a{n // 2:02d}" for n in range(2 * twice)] + [f"b{n:02d}" for n in range(once)]


def test_folds_without_strangers_cost_the_nested_score_and_not_the_blend(tmp_path: Path) -> None:
    labels = twice_and_once(20, 8)
    kinds = ["whale"] * len(labels)
    project = odd_project(tmp_path, labels, kinds, ["whale"] * 9, [n % 2 for n in range(40)] + [0] * 8, frozen=False)
    report = tune(project, trials=0, nested_trials=2, new_share=0.1)
    told = "without fold 0, the stated mix has a share of 0.1 of strangers"
    assert report["nested"] is None
    assert [f"no nested score: {told}" in warning for warning in report["warnings"]] == [True]
    assert (project / "blend.json").is_file()
    with pytest.raises(FinblendError, match=told):
        evaluate(project, nested=True, nested_trials=2)


def test_a_fold_that_the_mix_leaves_without_weight_has_no_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = twice_and_once(20, 8)
    kinds = ["whale"] * len(labels)
    project = odd_project(tmp_path, labels, kinds, ["whale"] * 9, [n % 2 for n in range(40)] + [2] * 8, frozen=True)
    assert main(["tune", str(project), "--trials", "2", "--new-share", "0", "--json"]) == 0
    nested = json.loads(capsys.readouterr().out)["nested"]
    assert [fold["map5"] is None for fold in nested["folds"]] == [False, False, True]
    assert 0 < nested["map5"] <= 1


def test_strangers_of_species_that_test_lacks_keep_their_share(tmp_path: Path) -> None:
    labels = twice_and_once(20, 30)
    kinds = ["whale"] * 40 + ["dolphin"] * 30
    project = odd_project(tmp_path, labels, kinds, ["whale"] * 30, [n % 2 for n in range(70)], frozen=False)
    report = tune(project, trials=0, nested_trials=0, new_share=0.25)
    assert ["all out-of-fold strangers are of species" in warning for warning in report["warnings"]] == [True]
    found = evaluate(project)
    assert found["warnings"] == report["warnings"]
    assert found["new_share"] == pytest.approx(0.25)
    assert found["new"] is not None
