"""Pseudo-labels: what is trusted, and that a fold's set has seen nothing of the fold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import add
from retrievals import retriever_with
from small import Small

import ensemble.pseudo_labels.generate
import ensemble.pseudo_labels.selection
import ensemble.retrieval.evidence
from cv.files import sha256_of
from cv.mix import Mix
from cv.pseudo_labels import read_pseudo_labels
from ensemble import Blend, Project, decide, pseudo
from ensemble.identification.posteriors import PosteriorModel
from ensemble.identification.second_stage import SecondStage
from ensemble.protocol.evaluation_set import EvaluationSet, build_evaluation_set
from ensemble.pseudo_labels.selection import SelectionCurve, TopAnswer
from ensemble.retrieval.query_set import LabelledQuerySet, QuerySet
from postproc import NEW
from postproc.second_stage.features import CandidateFeatures

SETS = ["full", *(f"fold-{k}" for k in range(5))]


@pytest.fixture(scope="module")
def project(tuned_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned project of one frozen and one trained model."""
    return Path(shutil.copytree(tuned_template, tmp_path_factory.mktemp("pseudo") / "P"))


def test_a_set_for_each_fold_and_one_for_full(project: Path, tmp_path: Path) -> None:
    report = pseudo(project, tmp_path / "p.csv", min_prob=0.5, trials=0)
    catalogue = Project.open(project).catalogue
    assert [one["seen"] for one in report["sets"]] == SETS
    models = {}
    for one in report["sets"]:
        path = Path(one["file"])
        assert path.name == ("p.csv" if one["seen"] == "full" else f"p-{one['seen']}.csv")
        labels = read_pseudo_labels(path, catalogue)
        assert (labels.never_saw, labels.labels) == (one["seen"], Project.open(project).photos_hash)
        assert pl.read_csv(path).columns == ["image", "individual_id", "conf", "why"]
        assert one["rows"] == labels.frame.height > 0
        assert labels.frame["conf"].min() >= 0.5  # type: ignore[operator]
        assert (
            labels.frame["why"].str.contains(r"^first [01]\.\d{3}, second [01]\.\d{3}, [012] of 2 models agree$").all()
        )
        made = labels.made
        assert made is not None
        assert (made["rule"], made["threshold"], made["min_prob"]) == ("confidence", 0.5, 0.5)
        models[one["seen"]] = made["models"]
    stores = Project.open(project).stores()
    content = {key: store.manifest.content_sha256 for key, store in stores["trained"].items()}
    assert models["full"]["trained"] == [content[f"fold-{k}"] for k in range(5)]
    for k in range(5):
        # the one network that never saw the fold
        assert models[f"fold-{k}"]["trained"] == [content[f"fold-{k}"]]
        assert models[f"fold-{k}"]["frozen"] == models["full"]["frozen"]
    full = json.loads((tmp_path / "p.csv.json").read_text())
    assert full["made"]["folds"] == {f"fold-{k}": sha256_of(tmp_path / f"p-fold-{k}.csv") for k in range(5)}
    assert report["rows"] == report["sets"][0]["rows"]
    assert 0 < report["held_out"]["right"] <= 1


def test_who_has_photos_in_a_fold_only_is_not_named_by_its_set(project: Path, tmp_path: Path) -> None:
    pseudo(project, tmp_path / "p.csv", min_prob=0.01, trials=0)
    train = Project.open(project).catalogue.train
    some = False
    for k in range(5):
        named = set(pl.read_csv(tmp_path / f"p-fold-{k}.csv")["individual_id"])
        outside = set(train.filter(pl.col("fold") != k)["individual_id"])
        some |= bool(set(train["individual_id"]) - outside)
        assert named <= outside
    assert some


def shuffled(project: Path, folder: Path, fold: int) -> Path:
    """The same project, but for who is on the fold's photos."""
    shutil.copytree(project, folder / "other", ignore=shutil.ignore_patterns("cache"))
    frame = pl.read_parquet(folder / "other" / "catalogue.parquet")
    inside = frame["fold"].fill_null(-1).to_numpy() == fold
    names = frame["individual_id"].to_numpy().copy()
    names[inside] = np.roll(names[inside], 3)
    assert (names != frame["individual_id"].to_numpy()).sum() > 5
    frame.with_columns(individual_id=pl.Series(names, dtype=pl.String)).write_parquet(
        folder / "other/catalogue.parquet"
    )
    return folder / "other"


def without(folder: Path, fold: int | None) -> QuerySet:
    # whitened, so that what it was fitted on would show
    retriever = retriever_with(folder, whitening={"frozen": "total"})
    return retriever.of_test() if fold is None else retriever.of_test_without(fold)


@pytest.mark.parametrize("fold", [0, 3])
def test_a_folds_questions_know_nothing_of_its_labels(project: Path, tmp_path: Path, fold: int) -> None:
    """Another name on each of its photos changes nothing for the set of the fold, and much for that of another."""
    other = shuffled(project, tmp_path, fold)
    mine, theirs = without(project, fold), without(other, fold)
    assert (Project.open(project).catalogue.folds[mine.evidence.photo] != fold).all()
    for name, array in mine.evidence.arrays().items():
        np.testing.assert_array_equal(array, theirs.evidence.arrays()[name], err_msg=name)
    np.testing.assert_array_equal(mine.species.mismatch, theirs.species.mismatch)
    for elsewhere in (None, 1):
        one, two = (without(folder, elsewhere).evidence.individual for folder in (project, other))
        assert len(one) != len(two) or (one != two).any()


def test_a_folds_questions_know_only_the_network_that_never_saw_it(project: Path, tmp_path: Path) -> None:
    """Other embeddings from the other folds' networks change nothing."""
    shutil.copytree(project, tmp_path / "other", ignore=shutil.ignore_patterns("cache"))
    small = Small(tmp_path / "data")
    for fold in (0, 1, 3, 4):
        add(tmp_path / "other", small, "trained", 50 + fold, noise=3.0, fold=fold, replace=True)
    mine, theirs = without(project, 2), without(tmp_path / "other", 2)
    np.testing.assert_array_equal(mine.evidence.similarity, theirs.evidence.similarity)
    everything = [without(folder, None).evidence.similarity for folder in (project, tmp_path / "other")]
    assert everything[0].shape != everything[1].shape or (everything[0] != everything[1]).any()


@pytest.fixture(scope="module")
def staged(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project, its blend with a second stage."""
    folder = tmp_path_factory.mktemp("staged") / "P"
    shutil.copytree(project, folder)
    replace(Blend.load(folder / "blend.json"), second_stage=True).save(folder / "blend.json")
    return folder


@pytest.mark.parametrize("which", ["project", "staged"])
def test_nothing_of_a_set_is_chosen_on_its_own_folds_photos(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    project = request.getfixturevalue(which)
    assessed, whole, whole_model = (
        [],
        ensemble.pseudo_labels.generate.assess,
        ensemble.pseudo_labels.generate.posterior_model_of,
    )
    fitted = []

    def noted(evaluation_set: EvaluationSet, *rest: object) -> SelectionCurve:
        assessed.append(sorted(set(evaluation_set.fold.tolist())))
        return whole(evaluation_set, *rest)  # type: ignore[arg-type]

    def noted_model(evaluation_set: EvaluationSet, blend: Blend, *rest: object) -> PosteriorModel:
        fitted.append((sorted(set(evaluation_set.fold.tolist())), blend.second_stage))
        return whole_model(evaluation_set, blend, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ensemble.pseudo_labels.generate, "assess", noted)
    monkeypatch.setattr(ensemble.pseudo_labels.generate, "posterior_model_of", noted_model)
    pseudo(project, tmp_path / "p.csv", min_prob=0.5, trials=0)
    assert assessed == [[f for f in range(5) if f != k] for k in range(5)] + [[0, 1, 2, 3, 4]]
    assert fitted == [(folds, which == "staged") for folds in assessed]


def test_a_blend_with_a_second_stage_names_by_it(staged: Path, tmp_path: Path) -> None:
    report = pseudo(staged, tmp_path / "p.csv", min_prob=0.3, trials=0)
    decide(staged, tmp_path / "d.csv", precision=0.5)
    whole = pl.read_csv(tmp_path / "d.csv")
    found = pl.read_csv(tmp_path / "p.csv").join(whole, "image", "left")
    assert found["individual_id"].to_list() == found["name_1"].to_list()
    np.testing.assert_allclose(found["conf"], found["probability_1"], atol=1e-6)
    named = whole.filter((pl.col("name_1") != "new_individual") & (pl.col("probability_1") >= 0.3))
    assert found["image"].to_list() == named["image"].to_list()
    # a posterior over the blend's names says something else
    plain = tmp_path / "plain"
    shutil.copytree(staged, plain)
    replace(Blend.load(plain / "blend.json"), second_stage=False).save(plain / "blend.json")
    decide(plain, tmp_path / "other.csv", precision=0.5)
    assert pl.read_csv(tmp_path / "other.csv")["probability_1"].to_list() != whole["probability_1"].to_list()
    for one in report["sets"]:
        told = json.loads(Path(f"{one['file']}.json").read_text())
        assert told["made"]["recipe"]["second_stage"] is True


def stage_without(folder: Path, fold: int) -> tuple[SecondStage, CandidateFeatures]:
    """A second stage fitted without a fold's photos, and what it knows of test photos without the fold."""
    query_set = retriever_with(folder, whitening={"frozen": "total"}).out_of_fold()
    queries = np.flatnonzero(query_set.catalogue.folds != fold)
    evaluation_set = build_evaluation_set(query_set, Mix(0.15, None), queries=queries)
    stage = SecondStage.of(evaluation_set, Blend({"frozen": 0.5, "trained": 0.5}, species_penalty=0.1))
    return stage, stage.table.of_test(without(folder, fold))


@pytest.mark.parametrize("pruned", [False, True])
def test_a_folds_traits_know_nothing_of_its_labels(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pruned: bool
) -> None:
    """With all candidates kept, to the bit. Pruning is by what all photos show: it moves the cohorts, nothing else."""
    if not pruned:
        monkeypatch.setattr(ensemble.retrieval.evidence, "prune", lambda evidence, *_: evidence)
    other = shuffled(project, tmp_path, 3)
    shutil.copytree(project, tmp_path / "mine", ignore=shutil.ignore_patterns("cache"))
    (stage, mine), (_, theirs) = (stage_without(folder, 3) for folder in (tmp_path / "mine", other))
    assert (mine.names, mine.query_names) == (theirs.names, theirs.query_names)
    np.testing.assert_array_equal(mine.individual, theirs.individual)
    for name, column, same in zip(
        (*mine.names, *mine.query_names),
        [*np.moveaxis(mine.candidate, -1, 0), *mine.query.T],
        [*np.moveaxis(theirs.candidate, -1, 0), *theirs.query.T],
        strict=True,
    ):
        if not (pruned and "cohort" in name):
            np.testing.assert_array_equal(column, same, err_msg=name)
    assert mine.candidate[..., mine.names.index("cohort:blend")].any()
    if not pruned:
        np.testing.assert_array_equal(stage.fitted.of(mine), stage.fitted.of(theirs))
    # who is on the photos of a fold that is in the gallery does matter
    (_, mine), (_, theirs) = (stage_without(folder, 1) for folder in (tmp_path / "mine", other))
    assert (mine.candidate != theirs.candidate).any()


def first(label: list[int], sure: list[float], second: list[float], agree: list[int]) -> TopAnswer:
    return TopAnswer(np.array(label), np.array(sure), np.array(second), np.array(agree), 2)


def test_thresholds_are_the_lowest_that_keep_the_precision_by_every_rule() -> None:
    """Against trying every threshold."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = 40
        sure = rng.integers(4, 9, n) / 8
        answers = TopAnswer(rng.choice([NEW, 3], n, p=[0.2, 0.8]), sure, (1 - sure) / 2, rng.integers(1, 3, n), 2)
        right, weights = rng.random(n) < 0.7, rng.integers(0, 4, n) / 4
        judged = SelectionCurve(answers, right, weights, np.arange(n) % 3)
        eligible = {"confidence": answers.label >= 0, "gap": answers.label >= 0}
        eligible["agreement"] = (answers.label >= 0) & (answers.agree == 2)
        for rule, own in eligible.items():
            value = answers.sure - answers.second if rule == "gap" else answers.sure
            kept = []
            for threshold in np.unique(value[own]):
                inside = own & (value >= threshold)
                w = weights[inside]
                if w.sum() > 0 and w.sum() ** 2 >= 4 * (w @ w) and w @ right[inside] >= 0.75 * w.sum():
                    kept.append(threshold)
            assert judged.threshold(rule, 0.75) == (min(kept) if kept else np.inf)


def test_expected_precision_is_that_of_the_other_folds_thresholds() -> None:
    # fold 0 alone would take all from 0.5 on, fold 1 alone only from 0.9 on
    answers = first([3] * 12, ([0.9] * 3 + [0.5] * 3) * 2, [0.0] * 12, [2] * 12)
    right = np.array([True] * 9 + [False] * 3)
    judged = SelectionCurve(answers, right, np.ones(12), np.repeat([0, 1], 6))
    # fold 0 by fold 1's threshold: its three at 0.9; fold 1 by fold 0's: all six, of which three are right
    assert judged.expected("confidence", 0.6, None) == (pytest.approx(9 / 12), pytest.approx(6 / 9))
    assert judged.expected("confidence", None, 0.9) == (pytest.approx(6 / 12), pytest.approx(1.0))
    assert judged.expected("confidence", None, 0.95) == (0.0, None)


def test_shares_by_species_keep_their_pattern_without_a_fold(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has photos in the fold only is a stranger there: in all species the odds rise by one factor."""
    stated, mixes = {"beluga": 0.1, "fin_whale": 0.2}, []
    own = tmp_path / "own"
    shutil.copytree(project, own)
    blend = Blend.load(own / "blend.json")
    replace(blend, mix=Mix(stated)).save(own / "blend.json")
    whole = ensemble.pseudo_labels.generate.build_evaluation_set

    def noted(query_set: LabelledQuerySet, mix: Mix, *rest: object) -> EvaluationSet:
        mixes.append(mix.new_share)
        return whole(query_set, mix, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ensemble.pseudo_labels.generate, "build_evaluation_set", noted)
    pseudo(own, tmp_path / "p.csv", min_prob=0.01, trials=0)
    assert len(mixes) == 5
    for share in mixes:
        assert isinstance(share, dict)
        odds = [share[name] / (1 - share[name]) * (1 - before) / before for name, before in stated.items()]
        assert odds[0] == pytest.approx(odds[1])
        assert odds[0] > 1
