"""Tuning: never below what it starts from, the same for the same seed, and a recipe that holds together."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import Small
from studies import SAMPLERS, trial_points, trial_values

import ensemble.tuning.tune
from cv import FinblendError, Mix
from ensemble import Blend, Project, init, models, register, tune
from ensemble.protocol.setup import Setup, read_setup
from ensemble.tuning.greedy import forward_selection
from ensemble.tuning.result import TuneResult

MODELS = ["m0", "m1", "m2"]
STARTS = 7  # equal weights in three ways, each model alone, greedy forward selection


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


def tuned(project: Path, **options: Any) -> TuneResult:
    """Tuning without its nested score, which is not what these tests are about."""
    return tune(project, **({"new_share": 0.15, "nested_trials": 0} | options))


def same(report: TuneResult) -> dict[str, Any]:
    return {key: value for key, value in report.as_dict().items() if key != "seconds"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_never_below_equal_weights_greedy_selection_or_a_single_model(project: Path, sampler: str) -> None:
    report = tuned(project, trials=14, sampler=sampler, seed=3)
    assert report["trials"] == report["new_trials"] == 14
    assert set(report["single_models"]) == set(MODELS)
    assert report["map5"] >= floor(report)
    setup = read_setup(Project.open(project), Mix(0.15))
    for weights in (dict.fromkeys(MODELS, 1 / 3), *({name: 1.0} for name in MODELS)):
        for background in (0.0, 1.0):
            _, alone = setup.evaluation_set.decided(Blend(weights, dict(setup.whitening), background=background))
            if background == 1.0 or len(weights) > 1:
                assert report["map5"] >= alone.map5 - 1e-12
    weights, reached = forward_selection(setup.evaluation_set, MODELS, setup.whitening)
    assert report["greedy"] == reached
    assert (
        report["map5"]
        >= setup.evaluation_set.decided(Blend(weights, dict(setup.whitening), background=1.0))[1].map5 - 1e-12
    )


def floor(report: TuneResult) -> float:
    """The best of what every study tries first."""
    return max(report["equal_weights"], report["greedy"], *report["single_models"].values())


def test_the_floor_holds_when_fewer_trials_are_asked_for(project: Path) -> None:
    report = tuned(project, trials=0)
    assert report["trials"] == STARTS
    assert report["map5"] >= floor(report)


def test_a_proper_selection_is_a_starting_point_and_one_model_alone_is_not_tried_twice(project: Path) -> None:
    setup = read_setup(Project.open(project), Mix(0.15))
    weights, _ = forward_selection(setup.evaluation_set, MODELS, setup.whitening)
    assert len({weight for weight in weights.values() if weight > 0}) > 1, "more than one model, unequally"
    tuned(project, trials=0)
    last = trial_points(project)[-1]
    factors = np.array([last[f"factor:{name}"] for name in MODELS])
    assert (factors**2 / (factors**2).sum()).tolist() == pytest.approx([weights[name] for name in MODELS])
    assert (last["top_photos"], last["species_penalty_root"], last["background"]) == (1, 0.0, 1.0)
    # of one model the selection is that model, and so are equal weights
    assert tuned(project, trials=0, models=["m0"])["trials"] == 3


def test_models_and_tune_agree_on_what_a_model_scores_alone(project: Path) -> None:
    alone = {row["model"]: row["map5"] for row in models(project, new_share=0.15)["models"]}
    assert tuned(project, trials=0)["single_models"] == pytest.approx(alone)


def test_what_the_candidates_decide_is_told_of_the_blend_that_is_written(project: Path) -> None:
    report = tuned(project, trials=10)
    setup = read_setup(Project.open(project), Mix(0.15))
    among = setup.evaluation_set.score(Blend.load(project / "blend.json"))
    told = report["certified"]
    assert (told["least"], told["most"]) == pytest.approx((among.lower, among.upper), abs=1e-12)
    assert told["share"] == pytest.approx(1 - among.undecided, abs=1e-12)


def test_the_blend_file_is_the_report(project: Path) -> None:
    report = tuned(project, trials=9)
    blend = Blend.load(project / "blend.json")
    same_in_both = ["weights", "threshold", "rule", "top_photos", "species_penalty", "background", "whitening", "mix"]
    for key in (*same_in_both, "species_weights"):
        assert blend.as_dict()[key] == report[key], key
    assert report["mix"]["new_share"] == 0.15
    assert blend.measured["map5"] == report["map5"]
    assert "in-sample" in report["measured"]
    assert sum(blend.weights.values()) == pytest.approx(1.0)
    assert all(0.0 <= weight <= 1.0 for weight in blend.weights.values())
    assert set(blend.weights) == set(MODELS)
    setup = read_setup(Project.open(project), Mix(0.15))
    again, score = setup.evaluation_set.decided(blend)
    assert score.map5 == pytest.approx(report["map5"])
    assert again.decision == score.decision
    assert (report["nested"], blend.measured["nested"]) == (None, None)
    assert set(report["contributions"]) == {name for name, weight in blend.weights.items() if weight > 0}
    # all photos are candidates here, so nothing is open
    assert report["certified"] == {"share": 1.0, "least": score.lower, "most": score.upper, "recomputed": 0}
    assert score.lower == pytest.approx(score.upper)
    json.dumps(report.as_dict(), allow_nan=False)


def test_the_report_says_after_which_trial_more_stopped_helping(project: Path) -> None:
    report = tuned(project, trials=12, seed=5)
    values = trial_values(project)
    enough = report["enough"]
    assert enough["trials"] == len(values) == 12
    assert max(values[: enough["trial"]]) > max(values) - enough["gain"]
    assert enough["trial"] == 1 or max(values[: enough["trial"] - 1]) <= max(values) - enough["gain"]


def test_a_nested_score_stands_in_the_report_and_in_the_blend(project: Path) -> None:
    report = tune(project, trials=8, new_share=0.15, nested_trials=2)
    nested, kept = report["nested"], Blend.load(project / "blend.json").measured["nested"]
    assert nested["optimism"] == pytest.approx(report["map5_of_answers"] - nested["map5"])
    assert len(nested["folds"]) == 5
    assert {key: nested[key] for key in kept} == kept
    assert "nested out-of-fold" in kept["measured"]
    json.dumps(report.as_dict(), allow_nan=False)


def test_by_default_as_many_nested_trials_as_there_are_trials_but_at_most_100(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def noted(setup: Setup, trials: int, *_: object) -> tuple[None, bool]:
        asked.append(trials)
        return None, False

    monkeypatch.setattr(ensemble.tuning.tune, "nested_or_why_not", noted)
    assert ensemble.tuning.tune.TRIALS == 100
    monkeypatch.setattr(ensemble.tuning.tune, "TRIALS", 11)
    # three more are ten in all: the nested score of a blend that grew must not be that of the last trials only
    for trials, total in ((7, 7), (3, 10), (0, 10), (4, 14)):
        assert tune(project, trials=trials, new_share=0.15)["trials"] == total
    tune(project, trials=2, new_share=0.15, nested_trials=7)
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert asked == [7, 10, 10, 11, 7]


@pytest.mark.parametrize("share", [0.2, {"a": 0.1, "b": 0.3}])
def test_who_states_no_share_again_keeps_that_of_the_blend(project: Path, share: Any) -> None:
    if isinstance(share, dict):
        share = dict(zip(Project.open(project).catalogue.species, share.values(), strict=False))
    first = tuned(project, trials=STARTS, new_share=share)
    again = tuned(project, trials=0, new_share=None)
    assert again["mix"] == first["mix"]
    assert (again["new_trials"], again["trials"]) == (0, STARTS)
    told = "a table's" if isinstance(share, dict) else "0.2"
    assert f"no --new-share was given: {told} is kept" in "".join(again["warnings"])
    assert "is kept" not in "".join(first["warnings"])
    assert tuned(project, trials=0, new_share=0.1)["mix"]["new_share"] == 0.1
    assert tuned(project, trials=0, new_share="raw")["mix"]["new_share"] is None


def test_the_same_seed_gives_the_same_blend_in_a_fresh_project(project: Path, template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "Q")
    shutil.copytree(template, tmp_path / "R")
    one = tuned(project, trials=12, seed=5)
    assert same(tuned(tmp_path / "Q", trials=12, seed=5)) == same(one)
    assert (project / "blend.json").read_bytes() == (tmp_path / "Q" / "blend.json").read_bytes()
    other = [trial_points(project), trial_points(tmp_path / "Q")]
    assert other[0] == other[1]
    tuned(tmp_path / "R", trials=12, seed=6)
    assert trial_points(tmp_path / "R")[:STARTS] == other[0][:STARTS]
    assert trial_points(tmp_path / "R")[STARTS:] != other[0][STARTS:]


def test_a_subset_of_models_is_blended(project: Path) -> None:
    report = tuned(project, trials=0, models=["m0", "m2"])
    assert set(report["weights"]) == {"m0", "m2"}
    with pytest.raises(FinblendError, match=r"m9: is not registered.*m0, m1, m2"):
        tuned(project, trials=0, models=["m0", "m9"])


def test_without_a_share_the_raw_one_is_used_and_that_is_said(project: Path) -> None:
    (warning,) = tuned(project, trials=0, new_share=None)["warnings"]
    assert "--new-share" in warning
    assert "0.067" in warning  # 4 of 60 photos
    assert tuned(project, trials=0)["warnings"] == []


def test_a_larger_share_of_strangers_puts_somebody_new_first_more_often(project: Path) -> None:
    few = tuned(project, trials=0, new_share=0.02, models=["m0"])
    many = tuned(project, trials=0, new_share=0.6, models=["m0"])
    assert few["new_first"] < many["new_first"]


def test_timeout_stops_the_trials_but_not_the_floor(project: Path) -> None:
    report = tuned(project, trials=100_000, timeout=1e-6)
    assert report["trials"] == STARTS
    assert report["interrupted"] is False


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sampler": "grid"}, "--sampler must be one of tpe, random, but got grid"),
        ({"sampler": "cmaes"}, "--sampler must be one of tpe, random, but got cmaes"),
        ({"sampler": "gp"}, "--sampler must be one of tpe, random, but got gp"),
        ({"trials": -1}, "trials=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"new_share": 1.0}, "new_share=1.0"),
        ({"new_share": -0.1}, "new_share=-0.1"),
        ({"new_share": float("nan")}, "new_share=nan"),
        ({"gallery_exponent": -1.0}, "gallery_exponent=-1.0"),
        ({"nested_trials": -1}, "nested_trials=-1"),
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
    told = f"{tmp_path / 'P'}: no model is registered; use 'finblend register {tmp_path / 'P'} NAME ...'"
    with pytest.raises(FinblendError, match=rf"^{re.escape(told)}$"):
        tune(tmp_path / "P", trials=0)
    # a table without rows would leave a newcomer wondering
    with pytest.raises(FinblendError, match=rf"^{re.escape(told)}$"):
        models(tmp_path / "P")
