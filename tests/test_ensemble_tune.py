"""Tuning: never below what it starts from, the same for the same seed, and a recipe that holds together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Small

from cv import FinblendError, Mix
from ensemble import Blend, Project, init, models, register, tune
from ensemble.desk import set_exam
from ensemble.exam import decided

MODELS = ["m0", "m1", "m2"]
STARTS = 6  # equal weights in three ways, each model alone


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frozen networks of different strength, with everything computed that tuning needs."""
    folder = tmp_path_factory.mktemp("tune")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for i, name in enumerate(MODELS):
        train, test = small.noisy(i + 1, noise=1.5 + 0.5 * i)
        register(folder / "P", name, frozen=True, train=(small.train_images, train), test=(small.test_images, test))
    models(folder / "P", new_share=0.15)
    return folder / "P"


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "P")
    return tmp_path / "P"


def same(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "seconds"}


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random"])
def test_never_below_equal_weights_or_a_single_model(project: Path, sampler: str) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    report = tune(project, trials=14, new_share=0.15, sampler=sampler, seed=3)
    assert report["trials"] == report["new_trials"] == 14
    assert set(report["single_models"]) == set(MODELS)
    assert report["map5"] >= max(report["equal_weights"], *report["single_models"].values())
    desk = set_exam(Project.open(project), Mix(0.15))
    for weights in (dict.fromkeys(MODELS, 1 / 3), *({name: 1.0} for name in MODELS)):
        for background in (0.0, 1.0):
            _, floor = decided(desk.exam, Blend(weights, dict(desk.whitening), background=background))
            if background == 1.0 or len(weights) > 1:
                assert report["map5"] >= floor - 1e-12


def test_the_floor_holds_when_fewer_trials_are_asked_for(project: Path) -> None:
    report = tune(project, trials=0, new_share=0.15)
    assert report["trials"] == STARTS
    assert report["map5"] >= max(report["equal_weights"], *report["single_models"].values())


def test_models_and_tune_agree_on_what_a_model_scores_alone(project: Path) -> None:
    alone = {row["model"]: row["map5"] for row in models(project, new_share=0.15)["models"]}
    assert tune(project, trials=0, new_share=0.15)["single_models"] == pytest.approx(alone)


def test_the_blend_file_is_the_report(project: Path) -> None:
    report = tune(project, trials=9, new_share=0.15)
    blend = Blend.load(project / "blend.json")
    for key in ("weights", "threshold", "rule", "top_photos", "species_penalty", "background", "whitening", "mix"):
        assert getattr(blend, key) == report[key], key
    assert report["mix"]["new_share"] == 0.15
    assert blend.measured["map5"] == report["map5"]
    assert "in-sample" in report["measured"]
    assert sum(blend.weights.values()) == pytest.approx(1.0)
    assert all(0.0 <= weight <= 1.0 for weight in blend.weights.values())
    assert set(blend.weights) == set(MODELS)
    desk = set_exam(Project.open(project), Mix(0.15))
    assert decided(desk.exam, blend)[1] == pytest.approx(report["map5"])
    json.dumps(report, allow_nan=False)


def test_the_same_seed_gives_the_same_blend_in_a_fresh_project(project: Path, template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "Q")
    shutil.copytree(template, tmp_path / "R")
    one = tune(project, trials=12, new_share=0.15, seed=5)
    assert same(tune(tmp_path / "Q", trials=12, new_share=0.15, seed=5)) == same(one)
    assert (project / "blend.json").read_bytes() == (tmp_path / "Q" / "blend.json").read_bytes()
    other = [trial_points(project), trial_points(tmp_path / "Q")]
    assert other[0] == other[1]
    tune(tmp_path / "R", trials=12, new_share=0.15, seed=6)
    assert trial_points(tmp_path / "R")[:STARTS] == other[0][:STARTS]
    assert trial_points(tmp_path / "R")[STARTS:] != other[0][STARTS:]


def trial_points(project: Path) -> list[dict[str, Any]]:
    """The parameters of every trial of every study, in order."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(project / "study.journal")))
    found = storage.get_all_studies()
    return [trial.params for study in found for trial in storage.get_all_trials(study._study_id)]


def test_a_subset_of_models_is_blended(project: Path) -> None:
    report = tune(project, trials=0, new_share=0.15, models=["m0", "m2"])
    assert set(report["weights"]) == {"m0", "m2"}
    with pytest.raises(FinblendError, match=r"m9: is not registered.*m0, m1, m2"):
        tune(project, trials=0, new_share=0.15, models=["m0", "m9"])


def test_without_a_share_the_raw_one_is_used_and_that_is_said(project: Path) -> None:
    (warning,) = tune(project, trials=0)["warnings"]
    assert "--new-share" in warning
    assert "0.067" in warning  # 4 of 60 photos
    assert tune(project, trials=0, new_share=0.15)["warnings"] == []


def test_a_larger_share_of_strangers_puts_somebody_new_first_more_often(project: Path) -> None:
    few = tune(project, trials=0, new_share=0.02, models=["m0"])
    many = tune(project, trials=0, new_share=0.6, models=["m0"])
    assert few["new_first"] < many["new_first"]
    assert few["threshold"] < many["threshold"]


def test_timeout_stops_the_trials_but_not_the_floor(project: Path) -> None:
    report = tune(project, trials=100_000, new_share=0.15, timeout=1e-6)
    assert report["trials"] == STARTS
    assert report["interrupted"] is False


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sampler": "grid"}, "--sampler must be one of tpe, cmaes, random, but got grid"),
        ({"trials": -1}, "trials=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"new_share": 1.0}, "new_share=1.0"),
        ({"new_share": -0.1}, "new_share=-0.1"),
        ({"new_share": float("nan")}, "new_share=nan"),
        ({"gallery_exponent": -1.0}, "gallery_exponent=-1.0"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_wrong_arguments_are_refused_with_their_value(project: Path, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(FinblendError, match=told):
        tune(project, **({"trials": 0, "new_share": 0.15} | wrong))
    assert not (project / "blend.json").exists()


def test_a_project_without_models_says_what_to_do(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    with pytest.raises(FinblendError, match=r"no model is registered.*finblend register"):
        tune(tmp_path / "P", trials=0)
