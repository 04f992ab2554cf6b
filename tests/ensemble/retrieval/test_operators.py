"""Operators from the choice to the submission: who may shape what, and that none is the default."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted import EVERYTHING, add, add_trained, few_candidates
from retrievals import retriever_with, unwhitened
from small import Small

import ensemble.retrieval.selection
import ensemble.tuning.nested
from cv import FinblendError, Mix
from ensemble import Blend, Project, decide, evaluate, export, init, submit, tune
from ensemble.cli import main
from ensemble.identification.prediction import certain_ranking, predict
from ensemble.registry.models import require_models
from ensemble.retrieval.operators import NAMES, Operators, moved
from ensemble.retrieval.query_set import QuerySet
from ensemble.retrieval.selection import GRID, SURE_OF_OPERATOR, SURE_OF_WHITENING, choose_operators, clear_best
from ensemble.retrieval.task import RetrievalTask
from ensemble.tuning.nested import nested_score
from postproc import Space
from postproc.transforms.expansion import Expansion
from postproc.transforms.reciprocal import Reciprocal

EACH = {
    "database-augmentation": Operators(augmentation=Expansion(2, 1.0)),
    "query-expansion": Operators(expansion=Expansion(2, 1.0)),
    "reciprocal": Operators(reciprocal=Reciprocal(5, 2, 0.3)),
}
ALL = Operators(Expansion(1, 3.0), Expansion(2, 1.0), Reciprocal(4, 2, 0.5))


@pytest.fixture
def project(small: Small, tmp_path: Path) -> Path:
    """Two frozen models, one of two views, and a trained one."""
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    add(tmp_path / "P", small, "plain", 1, noise=3.0)
    add(tmp_path / "P", small, "mirrored", 2, noise=3.0, views=["orig", "hflip"])
    add_trained(tmp_path / "P", small, "trained", 3, noise=3.0)
    return tmp_path / "P"


def asked(project: Path, how: Operators, name: str) -> tuple[QuerySet, QuerySet]:
    retriever = retriever_with(project, operators={name: how})
    return retriever.out_of_fold(), retriever.of_test()


def column(query_set: QuerySet, name: str) -> np.ndarray:
    """A source's similarities in the first view."""
    evidence = query_set.evidence
    return evidence.similarity[:, evidence.channels[evidence.sources.index(name), 0]]


@pytest.mark.parametrize("name", ["plain", "mirrored", "trained"])
@pytest.mark.parametrize("operator", NAMES)
def test_an_operator_changes_its_source_and_no_other(
    project: Path, operator: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemble.retrieval.evidence.prune", lambda evidence, *_: evidence)
    few_candidates(monkeypatch, EVERYTHING)
    for before, after in zip(asked(project, Operators(), name), asked(project, EACH[operator], name), strict=True):
        assert (before.evidence.photo == after.evidence.photo).all()
        for other in ("plain", "mirrored", "trained"):
            same = np.array_equal(column(before, other), column(after, other))
            assert same == (other != name)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", [EACH[NAMES[0]], EACH[NAMES[1]], ALL], ids=["augmentation", "expansion", "all"])
def test_few_candidates_name_photos_as_all_do(
    project: Path, how: Operators, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With k-reciprocal, too: its photos are the nearest of the few, which all of them are recomputed with."""
    blend = Blend({"plain": 0.3, "mirrored": 0.3, "trained": 0.4}, rule="B", threshold=0.3)
    few_candidates(monkeypatch, 6)
    few = asked(project, how, "trained")[which]
    found = predict(few, blend)
    assert found.rescored > 0
    rows = np.arange(len(few.images))
    weights = np.tile([blend.weights[name] for name in few.evidence.sources], (len(rows), 1))
    whole = few.over_whole_gallery(rows, weights, top_photos=1, species_penalty=0.0)
    ranking, _ = certain_ranking(few, blend)
    np.testing.assert_array_equal(ranking.individual[:, :5], whole.individual[:, :5])
    np.testing.assert_allclose(ranking.score[:, :5], whole.score[:, :5], atol=1e-6)
    if how.reciprocal is None:
        few_candidates(monkeypatch, EVERYTHING)
        everything = predict(asked(project, how, "trained")[which], blend)
        assert everything.rescored == 0
        np.testing.assert_array_equal(found.labels, everything.labels)


@pytest.mark.parametrize("operator", NAMES)
def test_photos_of_the_own_fold_shape_nothing(
    small: Small, tmp_path: Path, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other photos of fold 0 become others: a question of fold 0 is answered as before."""
    monkeypatch.setattr("ensemble.retrieval.evidence.prune", lambda evidence, *_: evidence)
    train, test = small.noisy(1, 3.0)
    found = []
    for spoilt in (False, True):
        folder = tmp_path / str(spoilt)
        made = init(folder, train=small.train_csv, test=small.sample_csv)
        assert made["train_images"] == 60
        folds = Project.open(folder).catalogue.folds
        own = np.flatnonzero(folds == 0)
        other = train.copy()
        if spoilt:
            other[own[1:]] = np.random.default_rng(5).standard_normal((len(own) - 1, train.shape[1]))
        ensemble.register(folder, "m", frozen=True, train=(small.train_images, other), test=(small.test_images, test))
        evidence = asked(folder, EACH[operator], "m")[0].evidence
        groups = slice(evidence.group_start[own[0]], evidence.group_start[own[0] + 1])
        photos = slice(evidence.photo_start[groups.start], evidence.photo_start[groups.stop])
        found.append((evidence.photo[photos].tolist(), evidence.similarity[photos].tolist()))
    assert found[0] == found[1]


def test_lambda_1_and_no_operator_are_one(project: Path) -> None:
    blend = Blend({"plain": 0.3, "mirrored": 0.3, "trained": 0.4}, threshold=0.3)
    for one, other in zip(
        asked(project, Operators(), "plain"),
        asked(project, Operators(reciprocal=Reciprocal(5, 2, 1.0)), "plain"),
        strict=True,
    ):
        np.testing.assert_array_equal(predict(one, blend).labels, predict(other, blend).labels)


def choosing(monkeypatch: pytest.MonkeyPatch, gain: Any) -> None:
    """Let each setting have the precision that `gain` of it and the fold adds to one half, in 12 photos."""

    def precision(project: Project, name: str, model: Any, kind: str, how: Operators, fold: int) -> np.ndarray:
        return np.full(12, 0.5) + np.where(np.arange(12) < 9, gain(how, fold), 0.0)

    monkeypatch.setattr(ensemble.retrieval.selection, "_precision", precision)


def test_the_clearly_best_setting_of_each_is_chosen_on_top_of_those_before(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gain(how: Operators, fold: int) -> float:
        value = 0.0
        if how.augmentation is not None:
            value -= 0.1
        if how.expansion is not None:
            value += 0.01 * how.expansion.k + 0.001 * how.expansion.alpha
        if how.reciprocal is not None:
            value += 0.1 * (1 - how.reciprocal.weight) if how.expansion is not None else 0.3
        return value

    choosing(monkeypatch, gain)
    opened = Project.open(project)
    models = require_models(opened)
    chosen = choose_operators(opened, models, {}, NAMES)
    assert set(chosen) == set(models)
    assert chosen["plain"] == Operators(None, Expansion(5, 3.0), Reciprocal(10, 3, 0.3))
    assert choose_operators(opened, models, {}, NAMES[:1]) == {}
    assert choose_operators(opened, models, {}, ()) == {}


def test_a_fold_has_no_say_in_operators(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choosing(monkeypatch, lambda how, fold: 0.4 if how.expansion is not None and fold == 2 else 0.0)
    opened = Project.open(project)
    models = require_models(opened, ["plain"])
    wanted = ("query-expansion",)
    for without, expected in ((None, True), (0, True), (2, False)):
        assert bool(choose_operators(opened, models, {}, wanted, without=without)) == expected


def test_a_gain_within_the_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 1000)) * 0.1
    noise -= noise.mean(axis=1, keepdims=True)
    base, error = np.full(1000, 0.5), noise.std(axis=1) / np.sqrt(1000)
    for sure, errors in ((SURE_OF_OPERATOR, 3), (SURE_OF_WHITENING, 2)):
        for factor, expected in ((0.95, 0), (1.05, 2)):
            table = np.stack([base, base + noise[0], base + noise[1] + factor * errors * error[1]])
            assert clear_best(table, sure) == expected
        assert clear_best(np.empty((3, 0)), sure) == 0


def test_operators_are_chosen_anew_without_each_fold(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = Mix(0.15)
    setup = replace(unwhitened(project, mix, ["plain"]), operators_tried=("query-expansion",))
    calls: list[tuple[Any, int]] = []

    def stand_in(_: Project, models: Any, kinds: Any, wanted: Any, progress: Any, without: int) -> Any:
        calls.append((wanted, without))
        return {"plain": EACH["query-expansion"]} if without == 3 else {}

    monkeypatch.setattr(ensemble.tuning.nested, "choose_operators", stand_in)
    monkeypatch.setattr(ensemble.tuning.nested, "choose_whitening", lambda *_, **__: {"plain": "none"})
    score = nested_score(setup, trials=0)
    assert calls == [(("query-expansion",), fold) for fold in range(5)]
    told = EACH["query-expansion"].as_dict()
    assert [row.operators for row in score.folds] == [{}, {}, {}, {"plain": told}, {}]
    moved = retriever_with(project, ["plain"], operators={"plain": EACH["query-expansion"]}).out_of_fold()
    assert not np.array_equal(moved.evidence.similarity, setup.evaluation_set.query_set.evidence.similarity)


def test_from_tune_to_submit_by_the_command_line(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choosing(
        monkeypatch, lambda how, fold: 0.1 * len(how.as_dict()) * (how.reciprocal is None or how.reciprocal.k1 == 10)
    )
    seen: list[Operators] = []
    real = RetrievalTask.spaces
    line = ["tune", str(project), "--trials", "0", "--nested-trials", "1", "--new-share", "0.15"]
    assert main([*line, "--operators", "query-expansion, reciprocal", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    blend = Blend.load(project / "blend.json")
    told = {name: how.as_dict() for name, how in blend.operators.items()}
    assert report["operators"] == told
    chosen = Operators(expansion=GRID["query-expansion"][0], reciprocal=GRID["reciprocal"][0])
    assert blend.operators == dict.fromkeys(["plain", "mirrored", "trained"], chosen)
    assert blend.measured["operators_tried"] == ["query-expansion", "reciprocal"]
    assert {json.dumps(row["operators"]) for row in report["nested"]["folds"]} == {json.dumps(told)}
    assert main([*line, "--operators", "reciprocal,query-expansion"]) == 0
    assert "operators of plain: query-expansion k 1, alpha 1; reciprocal k1 10, k2 3" in capsys.readouterr().out
    scored = evaluate(project)
    assert scored["map5"] == pytest.approx(report["map5_of_answers"])
    with monkeypatch.context() as patch:

        def spaces(task: RetrievalTask, names: list[str] | None = None) -> Any:
            seen.append(task.operators["plain"])
            return real(task, names)

        patch.setattr(RetrievalTask, "spaces", spaces)
        for entry in (project / "cache").iterdir():
            if entry.name.startswith(("evidence-test", "pruned-test", "votes-test", "nearest-test")):
                shutil.rmtree(entry)
        submit(project, tmp_path / "out.csv")
    assert seen
    assert set(seen) == {chosen}
    decide(project, tmp_path / "decisions.csv")
    assert pl.read_csv(tmp_path / "out.csv").height == pl.read_csv(tmp_path / "decisions.csv").height == 12
    with pytest.raises(FinblendError, match="mirrored: has operators"):
        export(project, tmp_path / "vectors")
    # none is the default: the same project, tuned without
    plain = tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert plain["operators"] == Blend.load(project / "blend.json").operators == {}


def test_a_blend_keeps_its_operators_and_an_older_one_has_none(tmp_path: Path) -> None:
    blend = Blend({"a": 1.0}, operators={"a": ALL})
    blend.save(tmp_path / "blend.json")
    assert Blend.load(tmp_path / "blend.json") == blend
    assert json.loads((tmp_path / "blend.json").read_text())["operators"] == {"a": ALL.as_dict()}
    (tmp_path / "blend.json").write_text('{"weights": {"a": 1.0}}')
    assert Blend.load(tmp_path / "blend.json").operators == {}


def test_a_query_that_is_in_the_gallery_itself_is_not_what_moves_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((6, 4)).astype(np.float32)
    query = np.concatenate([gallery[2:3], rng.standard_normal((1, 4)).astype(np.float32)])
    how, rows = Operators(expansion=Expansion(1, 1.0)), np.arange(2)
    space = Space(((query,),), ((gallery,),))

    def found(gallery_rows: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        keep = moved(space, how, rows, gallery_rows, tmp_path / "m", lambda *asked: asked[2](), own)
        return np.array(keep.query[0][0])

    itself = found(np.arange(6), np.array([2, -1]))
    # the first as if its photo were not there, the second as ever
    np.testing.assert_array_equal(itself[0], found(np.array([0, 1, 3, 4, 5]), None)[0])
    np.testing.assert_array_equal(itself[1], found(np.arange(6), None)[1])
    np.testing.assert_allclose(found(np.arange(6), None)[0], query[0] / np.linalg.norm(query[0]), rtol=1e-5)
