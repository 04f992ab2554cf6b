"""The report's figures are those of models, evaluate, decide and tune, to the last digit that it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_scene import Scene, small_project
from planted import pods

import ensemble
import ensemble.identification.stage_choice
import ensemble.report.page.words
import ensemble.report.sections.blend_charts
import ensemble.report.sections.models
from cv.metrics import average_precisions
from ensemble import Project
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.report.charts.charts import Bars, Heatmap, Lines
from ensemble.report.page.html import render
from ensemble.report.page.pieces import Figures, Table, Text
from ensemble.report.sections import blend as blend_section
from ensemble.report.sections import calibration as trust_section
from ensemble.report.sections import models as models_section
from ensemble.report.sections.models import similarity
from ensemble.report.state import State
from postproc import Decision, decide

SHARE = 0.15


@pytest.fixture(scope="module", params=["rule and threshold", "second stage"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("measured")
    staged = request.param == "second stage"
    project = pods(folder, 0.8)[0] if staged else small_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        if not staged:
            # nothing is so sure: not the blend's own second stage, and none of a fold's
            patch.setattr(ensemble.identification.stage_choice, "SURE", 2.0)
        # of so few photos the stage is clearly better by the folds alone
        rule = "fold" if staged else None
        tuned = ensemble.tune(project, trials=6, new_share=SHARE, nested_trials=1, leave_out=rule)
    assert Project.open(project).blend_path.is_file()
    assert tuned["second_stage"]["used"] is staged
    scored = ensemble.evaluate(project)
    decided = ensemble.decide(project, folder / "d.csv")
    state = State(Project.open(project))
    every = (models_section, blend_section, trust_section)
    sections = {one.key: one for part in every if (one := part.section(state)) is not None}
    assert list(sections) == ["models", "blend", "trust"]
    return Scene(project, tuned, scored, decided, state, sections)


def test_the_sections_make_a_page(scene: Scene) -> None:
    page = render("a page", list(scene.sections.values()))
    for section in scene.sections.values():
        assert section.measured.endswith(".")
        assert section.title in page


def test_models_alone_score_what_models_and_tune_say(scene: Scene) -> None:
    told = {
        row["model"]: row
        for row in ensemble.models(scene.project, new_share=SHARE, leave_out=scene.state.blend.leave_out)["models"]
    }
    table = scene.of("models", Table, "Registered")
    assert {row[0] for row in table.rows} == set(told)
    evaluation_set = scene.state.setup.evaluation_set  # type: ignore[union-attr]
    for name, map5, low, high, known, _, whitening, *_ in table.rows:
        assert map5 == pytest.approx(told[name]["map5"]) == pytest.approx(scene.tuned["single_models"][name])
        assert (known, whitening) == (pytest.approx(told[name]["known"]), told[name]["whitening"])
        precision = scene.state.baselines[str(name)].precision
        assert [low, high] == pytest.approx(Bootstrap(evaluation_set).interval(precision))
    best = max(told, key=lambda name: told[name]["map5"])
    bars = scene.of("models", Bars, f"{best} is the best")
    assert bars.values == sorted((row["map5"] for row in told.values()), reverse=True)


def test_folds_make_up_the_whole(scene: Scene) -> None:
    evaluation_set = scene.state.setup.evaluation_set  # type: ignore[union-attr]
    fold, strange = evaluation_set.fold, evaluation_set.is_new
    for name, solo in scene.state.baselines.items():
        rows = [row for row in scene.of("models", Table, "Models per fold").rows if row[0] == name]
        assert [row[1] for row in rows] == [str(one) for one in np.unique(fold)]
        total = 0.0
        for _, one, map5, low, high, known, new in rows:
            own = evaluation_set.weights * (fold == int(str(one)))
            for told, part in ((known, own * ~strange), (new, own * strange)):
                assert told == (pytest.approx(part @ solo.precision / part.sum()) if part.any() else None)
            assert map5 == pytest.approx(own @ solo.precision / own.sum())
            assert float(low) <= float(map5) <= float(high)  # type: ignore[arg-type]
            total += own.sum() * float(map5)  # type: ignore[arg-type]
        assert total == pytest.approx(solo.map5)


def test_similarity_is_the_weighted_correlation(scene: Scene) -> None:
    chart = scene.of("models", Heatmap)
    stacked = np.stack([scene.state.baselines[name].precision for name in chart.labels])
    cov = np.cov(stacked, aweights=scene.state.setup.evaluation_set.weights, ddof=0)  # type: ignore[union-attr]
    spread = np.sqrt(np.diag(cov))
    np.testing.assert_allclose(chart.values, cov / np.outer(spread, spread), atol=1e-9)


def test_who_is_right_everywhere_is_like_nobody() -> None:
    found = similarity(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]), np.array([1.0, 2.0, 1.0]))
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_contributions_are_those_of_tune(scene: Scene) -> None:
    assert len(scene.tuned["contributions"]) == 2
    rows = {str(row[0]): row[1:] for row in scene.of("models", Table, "What each").rows}
    for name, part in scene.tuned["contributions"].items():
        # two models' Shapley values are exact: no column of errors
        assert part["error"] is None
        assert rows[name] == [scene.tuned["weights"][name], part["left_out"], part["shapley"]]
    # a blend of an older finblend does not hold them: they are told anew
    state = State(scene.state.project)
    blend = state.blend
    assert blend is not None
    measured = {key: value for key, value in blend.measured.items() if key != "contributions"}
    state.__dict__["_loaded"] = (replace(blend, measured=measured), None)
    [again] = [p for p in models_section.section(state).body if isinstance(p, Table) and "brings" in p.caption]  # type: ignore[union-attr]
    for row in again.rows:
        assert row[1:4] == pytest.approx(rows[str(row[0])][:3])


def test_headline_figures_are_those_of_evaluate_and_tune(scene: Scene) -> None:
    pairs, scored, nested = scene.of("blend", Figures).pairs, scene.scored, scene.tuned["nested"]
    figures = dict(pairs)
    assert pairs[0][1] == f"{scored['map5']:.4f}"
    assert pairs[1][1] == "{:.4f} to {:.4f}".format(*scored["interval"])
    assert figures["MAP@5 nested"] == f"{nested['map5']:.4f}"
    assert pairs[3][1] == "{:.4f} to {:.4f}".format(*nested["interval"])
    assert pairs[4][1] == "{:.4f} to {:.4f}".format(*nested["prediction"])
    assert figures["known photos"] == f"{scored['known']:.4f}"
    assert figures["strangers"] == f"{scored['new']:.4f}"
    assert figures["answers with somebody new first"] == f"{100 * scored['new_first']:.1f} %"
    assert figures["share of strangers assumed"] == "15.0 %"


def test_the_blend_stands_beside_what_it_must_beat(scene: Scene) -> None:
    bars = scene.of("blend", Bars, "Blend ")
    rows = dict(zip(bars.labels, zip(bars.values, bars.intervals or [], strict=True), strict=True))
    tuned, nested = scene.tuned, scene.tuned["nested"]
    staged = scene.state.blend.second_stage  # type: ignore[union-attr]
    best = max(tuned["single_models"], key=tuned["single_models"].get)
    assert rows[f"{best} alone, in-sample"][0] == pytest.approx(tuned["single_models"][best])
    assert rows["equal weights, in-sample"][0] == pytest.approx(tuned["equal_weights"])
    plain = "no 2nd stage, in-sample" if staged else "blend, in-sample"
    assert rows[plain][0] == pytest.approx(tuned["map5"])
    if staged:
        assert rows["blend, cross-fitted"][0] == pytest.approx(tuned["second_stage"]["map5"])
    assert rows["blend, nested"] == (nested["map5"], tuple(nested["interval"]))
    assert rows["best alone, nested"][0] == nested["against"]["single"]["map5"]
    assert rows["equal weights, nested"][0] == nested["against"]["equal"]["map5"]
    low, high = nested["against"]["single"]["own_interval"]
    assert low <= nested["against"]["single"]["map5"] <= high
    gained = nested["against"]["single"]["difference"]
    assert f"{'gains' if gained > 0 else 'loses'} {abs(gained):.4f}" in bars.title


def test_a_blend_that_loses_is_said_to_lose(scene: Scene) -> None:
    state, blend = State(scene.state.project), scene.state.blend
    assert blend is not None
    nested = scene.tuned["nested"]
    single = {**nested["against"]["single"], "difference": -0.0234, "interval": [-0.03, -0.01]}
    told = {**blend.measured, "nested": {**nested, "against": {**nested["against"], "single": single}}}
    state.__dict__.update(_loaded=(replace(blend, measured=told), None))
    state.__dict__.update(scored=scene.state.scored, setup=scene.state.setup)
    found = blend_section.section(state)
    assert found is not None
    [title] = [p.title for p in found.body if isinstance(p, Bars) and p.title.startswith("Blend ")]
    assert title.endswith("nested it loses 0.0234 against its best model (95 % -0.0300 to -0.0100)")


def test_the_trials_are_the_studys(scene: Scene) -> None:
    chart = scene.holding("blend", "trial")
    best, every = chart.series
    assert len(every.y) == scene.tuned["trials"]
    assert best.y == np.maximum.accumulate(every.y).tolist()
    enough = scene.tuned["enough"]
    last = enough["trial"] == enough["trials"]
    assert [mark.x for mark in chart.marks] == ([] if last else [enough["trial"]])
    assert ("more may help" if last else f"after trial {enough['trial']} ") in chart.title


@pytest.mark.parametrize("rule", ["A", "B"])
def test_the_curve_over_thresholds_is_what_each_of_them_scores(scene: Scene, rule: str) -> None:
    scored = scene.state.scored
    assert scored is not None
    blend = replace(scored.blend, rule=rule)
    curve, first = ensemble.report.sections.blend_charts.threshold_charts(blend, scored, SHARE)
    assert isinstance(curve, Lines)
    assert isinstance(first, Lines)
    evaluation_set, [line] = scored.setup.evaluation_set, curve.series
    told = dict(zip(first.series[0].x, first.series[0].y, strict=True))
    if rule == scene.tuned["rule"]:
        assert dict(zip(line.x, line.y, strict=True))[blend.threshold] == pytest.approx(scene.tuned["map5"])
    for at in [*range(0, len(line.x), 9), line.x.index(blend.threshold)]:
        decision = Decision(rule, line.x[at])
        labels = decide(evaluation_set.lists(scored.ranking, blend.background), decision)
        precision = average_precisions(labels, evaluation_set.truth)
        assert line.y[at] == pytest.approx(float(evaluation_set.weights @ precision))
        assert line.y[at] == pytest.approx(evaluation_set.score(blend, decision).map5, abs=1e-3)
        assert told[line.x[at]] == pytest.approx(evaluation_set.share_of_new(labels))
    assert max(line.y) - min(line.y) > 0.01


def test_shares_and_species_are_those_of_evaluate(scene: Scene) -> None:
    chart = scene.holding("blend", "share of strangers")
    for name, key in (("all", "map5"), ("known", "known"), ("strangers", "new")):
        [line] = [series for series in chart.series if series.name == name]
        told = [(row["new_share"], row[key]) for row in scene.scored["shares"] if row[key] is not None]
        assert list(zip(line.x, line.y, strict=True)) == [pytest.approx(pair) for pair in told]
    assert [mark.x for mark in chart.marks] == [pytest.approx(SHARE)]
    species = {row["species"]: row for row in scene.scored["species"]}
    if len(species) < 2:
        return
    table = scene.of("blend", Table, "Species")
    assert {str(row[0]) for row in table.rows} == set(species)
    for name, photos, strangers, share, new_first, map5, low, high, known, new in table.rows:
        row = species[str(name)]
        assert (photos, strangers) == (row["photos"], row["strangers"])
        told = [share, new_first, map5, known, new]
        assert told == [pytest.approx(row[key]) for key in ("share", "new_first", "map5", "known", "new")]
        assert [low, high] == pytest.approx(row["interval"])
        assert low <= map5 <= high  # type: ignore[operator]
    assert sum(row["share"] * row["new_first"] for row in species.values()) == pytest.approx(scene.scored["new_first"])


def test_trust_is_what_decide_says(scene: Scene) -> None:
    same, new = (p for p in scene.sections["trust"].body if isinstance(p, Lines) and p.diagonal)
    for chart, key in ((same, "same"), (new, "new")):
        assert f"off by {100 * scene.decided['calibration'][key]:.1f} points" in chart.title
        [series] = chart.series
        low, high = series.band or ([], [])
        assert all(a <= y <= b for a, y, b in zip(low, series.y, high, strict=True))
    bands = scene.decided["bands"]
    for name, _, cut, share, right in scene.of("trust", Table, "Bands").rows:
        assert cut == scene.decided["thresholds"].get(str(name))
        assert share == pytest.approx(bands[name]["expected_share"])
        assert right == (None if bands[name]["right"] is None else pytest.approx(bands[name]["right"]))


def test_the_curve_of_coverage_ends_with_every_first_answer(scene: Scene) -> None:
    sat = scene.state.cross_fitted
    assert sat is not None
    chart = next(p for p in scene.sections["trust"].body if isinstance(p, Lines) and p.x.startswith("share of all"))
    ends = {series.name: (series.x[-1], series.y[-1]) for series in chart.series}
    first = sat.answers.labels[:, 0]
    for name, own in (("a name comes first", first >= 0), ("somebody new comes first", first < -1)):
        weight = float(sat.weights[own].sum())
        if weight > 0:
            right = float(sat.weights[own] @ sat.right[own]) / weight
            assert ends[name] == (pytest.approx(weight / sat.weights.sum()), pytest.approx(right))
        else:
            assert name not in ends


def test_nothing_is_told_of_more_trials_than_the_blend_knew_without_saying_so(scene: Scene, tmp_path: Path) -> None:
    scored, blend = scene.state.scored, scene.state.blend
    assert scored is not None
    assert blend is not None
    fewer = replace(blend, measured={**blend.measured, "trials": 2})
    *_, text = ensemble.report.sections.blend_charts.trials_chart(scene.state, fewer, scored)
    assert isinstance(text, Text)
    assert f"{scene.tuned['trials'] - 2} came later" in text.text
