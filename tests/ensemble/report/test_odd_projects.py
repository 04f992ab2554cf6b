"""Odd projects give a page that says what is missing, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted import add, add_trained, sets_by_hand
from small import Small

import ensemble.tuning.study
import ensemble.tuning.tune
from ensemble import Blend, Project, init, tune
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.report import write_report
from ensemble.report.charts.charts import Bars, Lines
from ensemble.report.page.pieces import Section, Table, Warnings
from ensemble.report.sections import blend, models
from ensemble.report.sections import calibration as trust
from ensemble.report.state import State


def sections(project: Path) -> dict[str, Section]:
    """The three sections, and a check that the whole page can be written."""
    state = State(Project.open(project))
    told = write_report(project, project.parent / "report.html")
    assert told["bytes"] > 1000
    found = [part.section(state) for part in (models, blend, trust)]
    return {one.key: one for one in found if one is not None}


def warned(section: Section) -> str:
    return "\n".join(line for piece in section.body if isinstance(piece, Warnings) for line in piece.lines)


def titles(section: Section) -> list[str]:
    return [piece.title for piece in section.body if isinstance(piece, (Bars, Lines))]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frozen networks, tuned without a nested score."""
    folder = tmp_path_factory.mktemp("odd")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    add(folder / "P", small, "m1", 1)
    add(folder / "P", small, "m2", 2)
    tune(folder / "P", trials=0, new_share=0.15, nested_trials=0)
    return folder / "P"


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "P")
    return tmp_path / "P"


def fresh(folder: Path, register: Callable[[Path, Small], None]) -> Path:
    """A project of the small catalogue."""
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    register(folder / "P", small)
    return folder / "P"


def test_after_init_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert sections(fresh(tmp_path, lambda *_: None)) == {}


def test_before_tuning_models_are_scored_in_the_raw_mix_and_it_says_so(tmp_path: Path) -> None:
    project = fresh(tmp_path, lambda p, small: add(p, small, "m1", 1))
    found = sections(project)
    assert list(found) == ["models"]
    assert "the raw out-of-fold share, for none is stated" in found["models"].measured
    assert "nothing is tuned yet" in found["models"].measured
    told = {row["model"]: row for row in ensemble.models(project)["models"]}
    [table] = [p for p in found["models"].body if isinstance(p, Table) and p.caption.startswith("Registered")]
    assert table.rows[0][1] == pytest.approx(told["m1"]["map5"])
    # one model is like none other, and contributes to nothing
    assert titles(found["models"])[0].startswith("m1 alone reaches MAP@5")
    assert "no --new-share was given" in warned(found["models"])
    # to who points at it, a fold is a number and no fraction
    page = (project.parent / "report.html").read_text()
    assert all(f"<title>m1, fold {fold}: " in page for fold in range(5))
    assert "m1: 0.0000" not in page


def test_one_model_alone_is_a_blend_too(tmp_path: Path) -> None:
    project = fresh(tmp_path, lambda p, small: add(p, small, "m1", 1))
    tune(project, trials=0, new_share=0.15, nested_trials=1)
    found = sections(project)
    assert list(found) == ["models", "blend", "trust"]
    assert any(title.startswith("m1 carries 100.0 % of the blend") for title in titles(found["blend"]))


def test_of_many_models_the_best_are_drawn_and_shapley_values_are_sampled(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # two are many here
    monkeypatch.setattr(models, "MOST_LINES", 1)
    path = Project.open(project).blend_path
    parts = {name: {"left_out": 0.01, "shapley": 0.2, "error": 0.01 * n} for n, name in enumerate(("m1", "m2"))}
    own = {"weights": {"m1": 0.5, "m2": 0.5}, "species_weights": {}, "measured": {"contributions": parts}}
    replace(Blend.load(path), **own).save(path)
    found = models.section(State(Project.open(project)))
    assert found is not None
    [folds] = [p for p in found.body if isinstance(p, Lines)]
    alone = {row["model"]: row["map5"] for row in ensemble.models(project, new_share=0.15)["models"]}
    assert [series.name for series in folds.series] == [max(alone, key=lambda name: alone[name])]
    assert "the best 1 models" in folds.alt
    [shapley] = [p for p in found.body if isinstance(p, Bars) and "Shapley" in p.x]
    intervals = dict(zip(shapley.labels, shapley.intervals or [], strict=True))
    assert intervals["m1"] == (0.2, 0.2)
    assert intervals["m2"] == pytest.approx((0.2 - 0.0196, 0.2 + 0.0196))
    assert "of its sampling" in shapley.x


def test_a_model_with_a_fold_missing_is_named_with_the_fold(tmp_path: Path) -> None:
    def register(project: Path, small: Small) -> None:
        add(project, small, "whole", 1)
        for fold in (0, 1, 3, 4):
            add(project, small, "torn", 20 + fold, fold=fold)

    project = fresh(tmp_path, register)
    [table] = [p for p in sections(project)["models"].body if isinstance(p, Table) and "Registered" in p.caption]
    rows = {row[0]: row for row in table.rows}
    assert rows["torn"][1] is None
    assert "fold 2 is not registered" in str(rows["torn"][-1])
    assert rows["whole"][-1] == "scored"


def test_where_no_model_can_be_scored_the_reasons_stand_alone(tmp_path: Path) -> None:
    project = fresh(tmp_path, lambda p, small: add(p, small, "torn", 20, fold=0))
    found = sections(project)
    assert found["models"].measured == "No model can be scored yet."
    assert "is not registered" in str(found["models"].body)


def test_without_strangers(tmp_path: Path) -> None:
    project = fresh(tmp_path, lambda p, small: add_trained(p, small, "m", 2))
    tune(project, trials=0, new_share=0.0, nested_trials=0)
    found = sections(project)
    assert list(found) == ["models", "blend", "trust"]
    assert "0.0 % strangers" in found["blend"].measured
    [figures] = [dict(p.pairs) for p in found["blend"].body if hasattr(p, "pairs")]
    assert figures["strangers"] == "-"
    assert figures["MAP@5 nested"] == "not measured"


def test_without_a_nested_score_it_says_so_and_compares_in_sample(project: Path) -> None:
    [title] = [title for title in titles(sections(project)["blend"]) if title.startswith("Blend ")]
    assert title.endswith("no nested score")
    scored = ensemble.evaluate(project)["map5"]
    best = max(row["map5"] for row in ensemble.models(project, new_share=0.15)["models"])
    assert f"Blend {scored:.4f} in-sample" in title
    assert f"{abs(scored - best):.4f}" in title


def test_an_interrupted_study_gives_what_is_there(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = fresh(tmp_path, lambda p, small: add(p, small, "m1", 1))
    whole, calls = EvaluationSet.decided, [0]

    def interrupted(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return whole(*args)

    with monkeypatch.context() as patch:
        patch.setattr(EvaluationSet, "decided", interrupted)
        assert tune(project, trials=9, new_share=0.15, nested_trials=2)["interrupted"]
    found = sections(project)
    assert any(title.startswith("3 trials reached") for title in titles(found["blend"]))
    # a study whose blend was never written
    Project.open(project).blend_path.unlink()
    assert list(sections(project)) == ["models"]


def test_without_the_studys_journal_there_is_no_history(project: Path) -> None:
    Project.open(project).study_path.unlink()
    found = sections(project)["blend"]
    assert "no history is shown" in str(found.body)
    assert not Project.open(project).study_path.exists(), "a report changes nothing"
    Project.open(project).study_path.write_text("no journal\n")
    assert "no history is shown" in str(sections(project)["blend"].body)


def test_a_blend_whose_model_was_registered_again_is_not_scored(project: Path) -> None:
    add(project, Small(project.parent / "again"), "m1", 7, replace=True)
    found = sections(project)
    assert list(found) == ["models", "blend"]
    assert "m1 was registered again after tuning" in warned(found["models"])
    assert "m1 was registered again after tuning" in warned(found["blend"])
    assert "nothing could be measured again" in found["blend"].measured
    # the models are there, in the raw mix
    assert "the blend there cannot be scored" in found["models"].measured
    assert "the raw out-of-fold share" in found["models"].measured


def test_a_model_that_came_after_tuning_is_not_in_the_blend(project: Path) -> None:
    add(project, Small(project.parent / "more"), "m3", 5)
    [table] = [p for p in sections(project)["models"].body if isinstance(p, Table) and "Registered" in p.caption]
    assert {row[0]: row[-1] for row in table.rows}["m3"] == "not in the blend: 'finblend models' scores it"


def test_a_blend_of_an_older_finblend_is_told_of_as_well(project: Path) -> None:
    path = Project.open(project).blend_path
    replace(Blend.load(path), measured={}).save(path)
    found = sections(project)
    assert list(found) == ["models", "blend", "trust"]
    older = {"map5": 0.5, "interval": [0.4, 0.6], "prediction": [0.3, 0.7], "test_photos": 12, "optimism": 0.0}
    replace(Blend.load(path), measured={"nested": older}).save(path)
    assert any("0.5000 nested" in title for title in titles(sections(project)["blend"]))


def test_of_a_recipe_that_was_changed_by_hand_nothing_measured_is_told(project: Path) -> None:
    path = Project.open(project).blend_path
    measured = dict(Blend.load(path).measured)
    assert measured["map5"] > 0
    # figures of another recipe, and figures that were made up
    changes: list[dict[str, Any]] = [
        {"weights": {"m1": 0.25, "m2": 0.75}, "species_weights": {}},
        {"measured": {**measured, "map5": "much"}},
        {"measured": {**measured, "nested": 0.999}},
    ]
    whole = path.read_text()
    for change in changes:
        path.write_text(json.dumps({**json.loads(whole), **change}))
        edited = Blend.load(path)
        assert edited.by_hand
        # how it was tuned stays
        assert set(edited.measured) == {"trials", "sampler", "seed"} < set(measured)
        found = sections(project)
        assert list(found) == ["models", "blend", "trust"]
        assert "is not as 'finblend tune' wrote it" in warned(found["blend"])
        assert "not measured" in str(found["blend"].body)
        [told, *_] = ensemble.evaluate(project)["warnings"]
        assert told.startswith(f"{path} is not as 'finblend tune' wrote it")
    # other spaces are the same recipe
    path.write_text(json.dumps(json.loads(whole)))
    assert (Blend.load(path).measured, Blend.load(path).by_hand) == (measured, False)
    # changed, and of embeddings that are no more: nothing is said to be what tune kept
    path.write_text(json.dumps({**json.loads(whole), "threshold": 0.25, "contents": {"m1": ["0"], "m2": ["1"]}}))
    told = warned(sections(project)["blend"])
    assert "was registered again after tuning" in told
    assert "is not as 'finblend tune' wrote it" in told
    assert "kept" not in told


def test_a_damaged_blend_leaves_the_rest_of_the_page(project: Path) -> None:
    path = Project.open(project).blend_path
    for damage in ("{", "[" * 200_000, '{"weights": {"m1": 1.0}, "contents": {"m1": 3}}'):
        path.write_text(damage)
        found = sections(project)
        assert list(found) == ["models"]
        assert "blend.json" in warned(found["models"])
    assert "the blend there cannot be scored" in found["models"].measured
    page = (project.parent / "report.html").read_text()
    assert "blend there cannot be read" in page


def test_a_merged_gallery_makes_the_blend_old_until_it_is_tuned_again(project: Path) -> None:
    sets = sets_by_hand(project, project.parent / "p.csv", lambda *_: dict.fromkeys(range(4), "id00"))
    ensemble.merge(project, sets, kind="gallery", force=True)
    found = sections(project)
    assert "was tuned with another gallery" in warned(found["blend"])
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    found = sections(project)
    assert list(found) == ["models", "blend", "trust"]
    assert "another gallery" not in warned(found["blend"])


def test_names_are_text(tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    frame = pl.read_csv(small.train_csv).with_columns(species=pl.lit("<script>alert(1)</script>"))
    kinds = np.where(np.arange(frame.height) % 2 == 0, "<script>alert(1)</script>", "<b>whale")
    frame.with_columns(species=pl.Series(kinds.tolist())).write_csv(small.train_csv)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    add(tmp_path / "P", small, "m1", 1)
    tune(tmp_path / "P", trials=0, new_share=0.15, nested_trials=0)
    assert "<script>alert" in str(sections(tmp_path / "P")["blend"].body)
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<b>whale" not in page
