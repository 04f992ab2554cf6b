"""The second stage from tune to submit: used where it helps, fitted without the fold that it scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted import pods

import ensemble
import ensemble.identification.stage_choice
from cv.errors import FinblendError
from cv.metrics import average_precisions, map5
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of
from ensemble.identification.posteriors import Answers
from ensemble.identification.prediction import Prediction, predict
from ensemble.identification.second_stage import KeptSecondStage, SecondStage
from ensemble.identification.stage_choice import choose_stage, gain_of_stage
from ensemble.project.folder import Project
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup, setup_of_blend
from ensemble.tuning.result import TuneResult
from postproc import NEW
from postproc.second_stage.conditional_logit import ConditionalLogit

SHARE = 0.15


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], TuneResult]:
    project, answers = pods(tmp_path_factory.mktemp("stage"), 0.8)
    # of so few photos the stage is clearly better by the folds alone
    return project, answers, ensemble.tune(project, trials=6, new_share=SHARE, nested_trials=3, leave_out="fold")


@pytest.fixture(scope="module")
def setup(tuned: tuple[Path, list[str], TuneResult]) -> tuple[Setup, Blend]:
    project = Project.open(tuned[0])
    blend = Blend.load(project.blend_path)
    return setup_of_blend(project, blend), blend


def test_where_it_helps_it_is_used_and_told(tuned: tuple[Path, list[str], TuneResult]) -> None:
    project, _, report = tuned
    assert report["second_stage"]["used"]
    assert report["second_stage"]["gain"] > 0.01
    assert Blend.load(project / "blend.json").second_stage
    nested = report["nested"]
    assert nested["in_sample"] == report["second_stage"]["map5"]
    # chosen anew without each fold, from fewer photos: not by all
    assert any(fold["second_stage"] for fold in nested["folds"])
    # each fold by a stage and a blend that never saw it: still better than the blend alone
    assert nested["against"]["plain"]["difference"] > 0
    assert nested["map5"] == pytest.approx(
        nested["against"]["plain"]["map5"] + nested["against"]["plain"]["difference"]
    )


def test_submit_decide_and_evaluate_speak_of_the_same_answers(
    tuned: tuple[Path, list[str], TuneResult], tmp_path: Path
) -> None:
    project, answers, report = tuned
    ensemble.submit(project, tmp_path / "s.csv")
    told = ensemble.decide(project, tmp_path / "d.csv", precision=0.9)
    lists = pl.read_csv(tmp_path / "s.csv")["predictions"].str.split(" ").to_list()
    table = pl.read_csv(tmp_path / "d.csv")
    assert lists == [[n for n in row if n is not None] for row in table.select(f"name_{k}" for k in range(1, 6)).rows()]
    owner = dict(pl.read_csv(project.parent / "train.csv").select("image", "individual_id").iter_rows())
    for row in table.iter_rows(named=True):
        for k in range(1, 6):
            name, photo = row[f"name_{k}"], row[f"photo_{k}"]
            assert photo is None if name in {None, "new_individual"} else owner[photo] == name
    assert told["calibration"]["same"] < 0.2
    scored = ensemble.evaluate(project)
    assert scored["map5"] == pytest.approx(report["second_stage"]["map5"])
    assert "cross-fitted" in scored["measured"]
    assert scored["new_first"] == pytest.approx(report["new_first"])
    # the score at the stated share is the score
    nearest = min(scored["shares"], key=lambda row: abs(row["new_share"] - SHARE))
    assert nearest["map5"] == pytest.approx(scored["map5"])
    # a target share of somebody new moves that only: names keep their order
    for wanted in (0.0, 0.5, 1.0):
        found = ensemble.submit(project, tmp_path / "target.csv", new_first=wanted)
        assert found["new_first"] == pytest.approx(wanted, abs=0.5 / found["rows"])
        moved = pl.read_csv(tmp_path / "target.csv")["predictions"].str.split(" ").to_list()
        for row, own in zip(moved, lists, strict=True):
            names = [n for n in row if n != "new_individual"]
            same = [n for n in own if n in names]
            assert [n for n in names if n in own] == same
    # and the answers are those of a stage that is worth its name
    blend = Blend.load(project / "blend.json")
    replace(blend, second_stage=False).save(project / "blend.json")
    found = ensemble.submit(project, tmp_path / "target.csv", new_first=0.4)
    assert found["new_first"] == pytest.approx(0.4, abs=0.5 / found["rows"])
    ensemble.submit(project, tmp_path / "plain.csv")
    blend.save(project / "blend.json")
    plain = pl.read_csv(tmp_path / "plain.csv")["predictions"].str.split(" ").to_list()
    assert map5(lists, answers) > map5(plain, answers)


def test_a_photo_is_judged_by_a_stage_that_never_saw_its_label(setup: tuple[Setup, Blend]) -> None:
    """A planted leak: the right answers of one fold are changed; what judges that fold must not notice."""
    one, blend = setup
    evaluation_set = one.evaluation_set
    query_set, folds = evaluation_set.query_set, evaluation_set.catalogue.folds
    truth, rng = query_set.truth.copy(), np.random.default_rng(0)
    fold = 2
    known = np.flatnonzero((folds == fold) & (truth != NEW))
    truth[known] = rng.permutation(truth[known])
    changed = replace(evaluation_set, query_set=replace(query_set, truth=truth))
    before, after = SecondStage.of(evaluation_set, blend), SecondStage.of(changed, blend)
    for other in range(4):
        same = np.array_equal(before.fitted_without[other].candidate, after.fitted_without[other].candidate)
        assert same == (other == fold)
    rows = (evaluation_set.fold == fold) & ~evaluation_set.is_simulated
    one_probability, other_probability = (
        stage.posteriors(stage.evaluation_set).probability[rows] for stage in (before, after)
    )
    np.testing.assert_array_equal(one_probability, other_probability)


def test_a_fold_held_out_is_answered_as_cross_fitting_answers_it(setup: tuple[Setup, Blend]) -> None:
    one, blend = setup
    evaluation_set = one.evaluation_set
    stage, inside = SecondStage.of(evaluation_set, blend), evaluation_set.fold == 1
    others = replace(evaluation_set, weights=np.where(inside, 0.0, evaluation_set.weights))
    answers = Answers.of(SecondStage(others, stage.table).held_out(evaluation_set, inside))
    np.testing.assert_array_equal(answers.labels, predict(evaluation_set, blend, stage=stage).labels[inside])


def test_nothing_of_a_query_s_fold_shapes_the_background_it_meets(setup: tuple[Setup, Blend]) -> None:
    """Similarities of a fold's photos, as gallery photos of others, are spoilt: its queries see the same cohort."""
    one, blend = setup
    evaluation_set = one.evaluation_set
    evidence, folds = evaluation_set.query_set.evidence, evaluation_set.catalogue.folds
    spoilt = evidence.similarity.copy()
    query = np.repeat(np.repeat(np.arange(evidence.n_queries), np.diff(evidence.group_start)), 1)
    query = np.repeat(query, np.diff(evidence.photo_start))
    spoilt[(folds[evidence.photo] == 3) & (folds[query] != 3)] += 0.3
    query_set = replace(evaluation_set.query_set, evidence=replace(evidence, similarity=spoilt))
    other = replace(evaluation_set, query_set=query_set)
    before, after = (SecondStage.of(each, blend).features(each) for each in (evaluation_set, other))
    rows = (evaluation_set.fold == 3) & ~evaluation_set.is_simulated
    np.testing.assert_array_equal(before.candidate[rows], after.candidate[rows])
    assert not np.array_equal(before.candidate, after.candidate)


def test_what_tuning_fitted_is_kept_for_the_very_same_photos_and_mix(
    setup: tuple[Setup, Blend], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, blend = setup
    evaluation_set = one.evaluation_set
    fits, whole = [], ensemble.identification.second_stage.fit_conditional_logit

    def noted(*given: Any) -> ConditionalLogit:
        fits.append(given)
        return whole(*given)

    monkeypatch.setattr(ensemble.identification.second_stage, "fit_conditional_logit", noted)
    kept, anew = (kind.of(evaluation_set, blend).posteriors(evaluation_set) for kind in (KeptSecondStage, SecondStage))
    np.testing.assert_array_equal(kept.probability, anew.probability)
    assert len(fits) == len(evaluation_set.query_set.tasks), "only where nothing is kept"
    # other weights, and features that another blend makes, are fitted anew
    tilted = evaluation_set.weights * (1 + evaluation_set.is_new)
    other = replace(blend, weights={"a": 0.9, "b": 0.1})
    for stage in (
        KeptSecondStage.of(replace(evaluation_set, weights=tilted / tilted.sum()), blend),
        KeptSecondStage.of(evaluation_set, other),
    ):
        fits.clear()
        stage.posteriors(stage.evaluation_set)
        assert len(fits) == len(evaluation_set.query_set.tasks)
    # its own is still there, and what was kept for others is not taken for it
    fits.clear()
    again = KeptSecondStage.of(evaluation_set, blend).posteriors(evaluation_set)
    np.testing.assert_array_equal(again.probability, anew.probability)
    assert not fits


def test_without_a_clear_gain_the_blend_stays_alone(tmp_path: Path) -> None:
    """Two networks that see nothing: there is nothing to judge again."""
    rng = np.random.default_rng(1)
    project, _ = pods(tmp_path, 0.0)
    train, test = (pl.read_csv(tmp_path / f"{split}.csv")["image"].to_list() for split in ("train", "test"))
    for name in ("a", "b"):
        given = {s: (i, rng.standard_normal((len(i), 8))) for s, i in (("train", train), ("test", test))}
        ensemble.register(project, f"noise-{name}", frozen=True, **given)
    report = ensemble.tune(project, trials=2, new_share=SHARE, models=["noise-a", "noise-b"], nested_trials=0)
    assert not report["second_stage"]["used"]
    assert not Blend.load(project / "blend.json").second_stage


def test_where_one_fold_carries_the_mix_there_is_no_second_stage(setup: tuple[Setup, Blend]) -> None:
    one, blend = setup
    alone = one.evaluation_set_in(Mix(SHARE, None), np.flatnonzero(one.project.catalogue.folds == 0))
    with pytest.raises(FinblendError, match="without fold 0 no photo has weight"):
        choose_stage(replace(one, evaluation_set=alone), blend, ranking_of(alone.query_set, blend))


def test_the_verdict_is_a_paired_one(setup: tuple[Setup, Blend], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that answers as its blend does has no gain in any draw, however much draws differ."""
    one, blend = setup
    evaluation_set = one.evaluation_set
    stage, ranking = SecondStage.of(evaluation_set, blend), ranking_of(evaluation_set.query_set, blend)
    plain = predict(evaluation_set, blend, ranking=ranking).labels

    def answering(labels: np.ndarray) -> Any:
        def stand_in(photos: EvaluationSet, blend: Blend, *, stage: SecondStage | None = None, **given: Any) -> Any:
            return predict(photos, blend, **given) if stage is None else Prediction(labels)

        return stand_in

    monkeypatch.setattr(ensemble.identification.stage_choice, "predict", answering(plain))
    gain = gain_of_stage(stage, plain)
    assert (gain.is_clear, gain.test.gain, gain.test.sure) == (False, 0.0, 0.0)
    np.testing.assert_array_equal(gain.labels, plain)
    assert gain.map5 == evaluation_set.weights @ average_precisions(plain, evaluation_set.truth)
    # one photo more is right: a gain in every draw that has its individual, and only there
    better = plain.copy()
    wrong = np.flatnonzero((plain[:, 0] != evaluation_set.truth) & (evaluation_set.weights > 0))[0]
    better[wrong, 0] = evaluation_set.truth[wrong]
    monkeypatch.setattr(ensemble.identification.stage_choice, "predict", answering(better))
    assert gain_of_stage(stage, plain).test.sure == pytest.approx(1 - np.exp(-1), abs=0.05)


def test_another_mix_is_asked_of_the_stage_that_is_submitted(tuned: tuple[Path, list[str], TuneResult]) -> None:
    project, _, _ = tuned
    usual = ensemble.evaluate(project)
    for row in usual["shares"][1:]:
        asked = ensemble.evaluate(project, new_share=row["new_share"])
        assert asked["map5"] == pytest.approx(row["map5"])
