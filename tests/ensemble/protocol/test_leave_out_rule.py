"""Which rule a blend is scored by: by its sources, by a word, as its file says; and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import add, add_trained
from small import Small

import ensemble
import ensemble.protocol.setup
from cv.errors import FinblendError
from cv.left_out import ENCOUNTER, FOLD
from cv.mix import Mix
from ensemble import Blend, Project
from ensemble.cli import main
from ensemble.protocol.larger_gallery import larger_gallery
from ensemble.protocol.setup import read_setup, setup_of_blend

SHARE = 0.15


@pytest.fixture
def project(tmp_path: Path) -> Path:
    small = Small(tmp_path / "data")
    ensemble.init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    add(tmp_path / "P", small, "frozen", 1)
    return tmp_path / "P"


def rule_of(project: Path, **options: object) -> str:
    return read_setup(Project.open(project), Mix(SHARE), **options).retriever.leave_out  # type: ignore[arg-type]


def test_frozen_models_leave_the_encounter_out_and_with_one_trained_all_leave_the_fold_out(project: Path) -> None:
    assert rule_of(project) == ENCOUNTER
    assert rule_of(project, leave_out=FOLD) == FOLD
    add_trained(project, Small(project.parent / "data"), "trained", 3)
    assert rule_of(project) == FOLD
    assert rule_of(project, names=["frozen"]) == ENCOUNTER
    with pytest.raises(
        FinblendError, match="leave_out encounter: trained is trained per fold, so the photos of a fold"
    ):
        rule_of(project, leave_out=ENCOUNTER)
    with pytest.raises(FinblendError, match="leave_out must be one of encounter, fold, but got leave_out='day'"):
        rule_of(project, leave_out="day")


def test_where_a_model_is_whitened_the_fold_is_left_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whitening has seen the other folds' photos, and not those of the query's own."""
    monkeypatch.setattr(ensemble.protocol.setup, "choose_whitening", lambda *_: {"frozen": "total"})
    setup = read_setup(Project.open(project), Mix(SHARE))
    assert setup.retriever.leave_out == FOLD
    assert not any("whitened" in line for line in setup.warnings())
    setup = read_setup(Project.open(project), Mix(SHARE), leave_out=ENCOUNTER)
    assert setup.retriever.leave_out == ENCOUNTER
    assert any("frozen is whitened by other folds' photos" in line for line in setup.warnings())


def write_pairs(project: Path, within: bool) -> None:
    """A pair source of all pairs, or of those between folds alone."""
    catalogue = Project.open(project).catalogue
    names, folds = np.array(catalogue.train_images), catalogue.folds
    query, gallery = np.nonzero(~np.eye(len(folds), dtype=bool) if within else folds[:, None] != folds)
    pairs = pl.DataFrame({"query": names[query], "gallery": names[gallery], "score": np.ones(len(query))})
    test = pl.DataFrame({"query": catalogue.test_images[:1], "gallery": names[:1], "score": [1.0]})
    ensemble.register_pairs(project, "marks", pairs=pairs, test_pairs=test, replace=True)


def test_a_pair_source_that_says_nothing_within_folds_brings_the_folds_back_and_says_so(project: Path) -> None:
    write_pairs(project, within=False)
    setup = read_setup(Project.open(project), Mix(SHARE))
    assert setup.retriever.leave_out == FOLD
    assert any("marks says nothing of two photos of one fold" in line for line in setup.warnings())
    assert rule_of(project, pairs=[]) == ENCOUNTER
    write_pairs(project, within=True)
    setup = read_setup(Project.open(project), Mix(SHARE))
    assert setup.retriever.leave_out == ENCOUNTER
    assert not any("marks" in line for line in setup.warnings())


def test_the_blend_says_by_which_rule_it_was_scored_and_all_that_follows_keeps_to_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word, told in (("encounter", "all photos but those of its encounter"), ("fold", "of the other folds")):
        given = [] if word == "encounter" else ["--leave-out", "fold"]
        line = ["tune", str(project), "--trials", "0", "--nested-trials", "1", "--new-share", "0.15"]
        assert main([*line, *given, "--json"]) == 0
        tuned = json.loads(capsys.readouterr().out)
        assert json.loads((project / "blend.json").read_text())["leave_out"] == word
        assert told in tuned["measured"]
        assert told in tuned["nested"]["measured"]
        assert (tuned["larger_gallery"] is None) == (word == "encounter")
        scored = ensemble.evaluate(project)
        assert told in scored.measured
        assert scored.map5 == pytest.approx(tuned["map5_of_answers"])
        assert told in ensemble.decide(project, project.parent / f"{word}.csv").measured
        assert told in ensemble.models(project, leave_out=word).measured
        assert main([*line, *given]) == 0
        assert ("expect" in capsys.readouterr().out.replace("\n", " ")) == (word == "fold")


def test_the_file_of_an_older_version_says_nothing_and_left_the_fold_out(project: Path) -> None:
    ensemble.tune(project, trials=0, nested_trials=0, new_share=SHARE, leave_out=FOLD)
    path = project / "blend.json"
    value = json.loads(path.read_text())
    del value["leave_out"], value["seal"]
    path.write_text(json.dumps(value))
    blend = Blend.load(path)
    assert blend.leave_out == FOLD
    opened = Project.open(project)
    assert setup_of_blend(opened, blend).retriever.leave_out == FOLD
    value["leave_out"] = "day"
    path.write_text(json.dumps(value))
    with pytest.raises(FinblendError, match="leave_out must be one of encounter, fold, but got leave_out='day'"):
        Blend.load(path)


def test_another_rule_is_another_study(project: Path) -> None:
    first = ensemble.tune(project, trials=5, nested_trials=0, new_share=SHARE)
    other = ensemble.tune(project, trials=5, nested_trials=0, new_share=SHARE, leave_out=FOLD)
    assert other.trials == other.new_trials
    again = ensemble.tune(project, trials=0, nested_trials=0, new_share=SHARE)
    assert again.trials - again.new_trials == first.trials


def test_a_larger_gallery_is_told_by_smaller_ones_and_costs_what_strangers_in_it_cost(project: Path) -> None:
    opened = Project.open(project)
    blend = Blend({"frozen": 1.0}, leave_out=FOLD)
    setup = setup_of_blend(opened, blend, mix=Mix(SHARE))
    told = larger_gallery(setup, setup.evaluation_set.decided(blend)[0])
    assert told is not None
    (now, at_now), (less, at_less) = ((float(share), score) for share, score in told.map5.items())
    # five folds of one size, as near as makes no difference
    assert (now, less) == (pytest.approx(0.8, abs=0.02), pytest.approx(0.6, abs=0.03))
    factor = np.log(5 / 4) / np.log(4 / 3)
    assert told.change == pytest.approx(factor * (at_now - at_less), rel=0.02)
    # whoever is not there cannot be taken for somebody
    assert told.change < 0
    assert told.error > 0
    assert larger_gallery(setup_of_blend(opened, Blend({"frozen": 1.0}, leave_out=ENCOUNTER)), blend) is None
