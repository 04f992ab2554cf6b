"""Few candidates give the same answers and the same score as all of them: what they leave open is settled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import EVERYTHING, add, add_trained, few_candidates
from retrievals import precisions_of, retriever_with
from scenes import same_ranking
from small import Small

from cv import Mix
from ensemble import Blend, Project, init, submit
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.prediction import Prediction, certain_ranking, predict
from ensemble.identification.scored_blend import score_blend
from ensemble.protocol.certify import certify
from ensemble.protocol.setup import Setup, setup_with
from ensemble.retrieval.query_set import QuerySet
from postproc import Ranking

FEW = (2, 8)
WEIGHTS = {
    "frozen and trained": {"mirrored": 0.3, "trained": 0.5, "plain": 0.2, "cropped": 0.0},
    "trained alone": {"mirrored": 0.0, "trained": 1.0, "plain": 0.0, "cropped": 0.0},
    "other views than those without weight": {"mirrored": 0.0, "trained": 0.0, "plain": 0.0, "cropped": 1.0},
}
RECIPES = {
    "one photo": {"top_photos": 1},
    "two photos against the background": {"top_photos": 2, "background": 1.0},
    "penalty": {"top_photos": 1, "species_penalty": 0.2, "background": 0.5},
    "two photos and penalty": {"top_photos": 2, "species_penalty": 0.05},
}


def template(folder: Path, several_views: bool) -> Path:
    """Four models; where all have a single view, they are searched together, too."""
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    views = (["orig", "hflip"], ["orig", "crop"]) if several_views else (["orig"], ["orig"])
    add(folder / "P", small, "mirrored", 1, views=views[0])
    add_trained(folder / "P", small, "trained", 2, noise=2.5)
    add(folder / "P", small, "plain", 10, noise=3.0)
    add(folder / "P", small, "cropped", 11, views=views[1])
    return folder / "P"


class World:
    """The questions with few candidates and with all of them."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.project: dict[int, Path] = {}
        self.asked: dict[int, dict[str, QuerySet]] = {}
        self.setup: dict[int, Setup] = {}
        for nearest in (*FEW, EVERYTHING):
            self.project[nearest] = folder / str(nearest)
            shutil.copytree(template, self.project[nearest])
            retriever = retriever_with(self.project[nearest])
            with pytest.MonkeyPatch.context() as patch:
                few_candidates(patch, nearest)
                self.asked[nearest] = {"out of fold": retriever.out_of_fold(), "test": retriever.of_test()}
                self.setup[nearest] = setup_with(retriever, Mix(0.2))
                for query_set in self.asked[nearest].values():
                    # asked for later, it would be built on as many candidates as there are by default
                    query_set.evidence_for(2)


@pytest.fixture(scope="module", params=[True, False], ids=["several views", "one view"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("whole")
    return World(template(folder, request.param), folder)


BLENDS = [
    pytest.param(Blend(weights, rule="B", threshold=0.3, **recipe), id=f"{who}, {what}")  # type: ignore[arg-type]
    for who, weights in WEIGHTS.items()
    for what, recipe in RECIPES.items()
]


def both(world: World, nearest: int, which: str, blend: Blend) -> tuple[Prediction, Prediction]:
    return predict(world.asked[nearest][which], blend), predict(world.asked[EVERYTHING][which], blend)


@pytest.mark.parametrize("nearest", FEW)
@pytest.mark.parametrize("which", ["out of fold", "test"])
@pytest.mark.parametrize("blend", BLENDS)
def test_few_candidates_name_photos_as_all_do(world: World, blend: Blend, which: str, nearest: int) -> None:
    few, whole = both(world, nearest, which, blend)
    assert whole.rescored == 0
    assert few.rescored > 0 or nearest > 2
    np.testing.assert_array_equal(few.labels, whole.labels)
    # where five places are certain, those behind them may still be open
    one, other = (certain_ranking(world.asked[n][which], blend)[0] for n in (nearest, EVERYTHING))
    np.testing.assert_array_equal(one.individual[:, :5], other.individual[:, :5])
    np.testing.assert_allclose(one.score[:, :5], other.score[:, :5], atol=1e-6)


@pytest.mark.parametrize("blend", BLENDS)
def test_an_evaluation_sets_photos_are_named_as_the_same_queries_are(world: World, blend: Blend) -> None:
    """One predictor: out-of-fold answers, as they are scored, come about as those of a submission do."""
    evaluation_set = world.setup[2].evaluation_set
    rows, queries = predict(evaluation_set, blend), predict(evaluation_set.query_set, blend)
    as_itself = ~evaluation_set.is_simulated
    assert as_itself.any()
    assert (~as_itself).any() == evaluation_set.query_set.can_hide
    np.testing.assert_array_equal(rows.labels[as_itself], queries.labels[evaluation_set.row[as_itself]])
    assert rows.rescored == queries.rescored > 0


def test_only_open_questions_are_asked_again(world: World) -> None:
    blend = Blend(WEIGHTS["trained alone"])
    with pytest.MonkeyPatch.context() as patch:
        asked: list[int] = []
        real = QuerySet.over_whole_gallery

        def counted(query_set: QuerySet, rows: np.ndarray, *given: object, **named: object) -> object:
            asked.extend(rows.tolist())
            return real(query_set, rows, *given, **named)  # type: ignore[arg-type]

        patch.setattr(QuerySet, "over_whole_gallery", counted)
        few, _ = both(world, 8, "out of fold", blend)
    assert 0 < len(set(asked)) == len(asked) == few.rescored < 60


@pytest.mark.parametrize("nearest", FEW)
@pytest.mark.parametrize("blend", BLENDS)
def test_a_certified_score_is_that_of_the_whole_gallery(world: World, blend: Blend, nearest: int) -> None:
    evaluation_set, whole = world.setup[nearest].evaluation_set, world.setup[EVERYTHING].evaluation_set
    among = evaluation_set.decided(blend)[1]
    assert among.lower < among.upper or nearest > 2, "two candidates a search leave the score open"
    certified = certify(evaluation_set, blend)
    found, score = certified.blend, certified.score
    assert score.lower == score.upper == score.map5
    assert (certified.rescored > 0) == (among.lower < among.upper)
    assert found.decision == score.decision
    np.testing.assert_allclose(evaluation_set.weights, whole.weights)
    everything = whole.score(blend, found.decision)
    assert score.map5 == pytest.approx(everything.map5, abs=1e-12)
    precision = precisions_of(evaluation_set, certified.ranking, found)
    assert whole.weights @ precision == pytest.approx(everything.map5, abs=1e-12)
    assert among.lower - 1e-12 <= whole.score(blend, among.decision).map5 <= among.upper + 1e-12


def test_what_was_settled_once_is_kept_for_the_same_blend(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = world.setup[2]
    certified = certify(setup.evaluation_set, Blend(WEIGHTS["frozen and trained"], background=1.0), keep=True)
    blend = certified.blend

    def forbidden(*given: object, **named: object) -> None:
        raise AssertionError("the whole gallery is opened again")

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "over_whole_gallery", forbidden)
        # what certifying has rescored is there, whatever else may be asked at the decision that was found
        scored = score_blend(setup, blend)
        assert scored.rescored > 0
        assert float(setup.evaluation_set.weights @ scored.precision) == pytest.approx(certified.score.map5, abs=1e-12)
        again = score_blend(setup, blend)
        for own, other in ((again.ranking, scored.ranking), (score_blend(setup, blend).ranking, scored.ranking)):
            np.testing.assert_array_equal(own.individual, other.individual)
            np.testing.assert_array_equal(own.score, other.score)
        with pytest.raises(AssertionError, match="opened again"):
            score_blend(setup, replace(blend, weights=WEIGHTS["trained alone"]))
    # without anything known it comes to the same
    for entry in Project.open(world.project[2]).cache.glob("settled-*"):
        shutil.rmtree(entry)
    np.testing.assert_array_equal(score_blend(setup, blend).precision, scored.precision)


def test_rescored_lists_are_the_same_whether_some_are_kept_or_none(world: World) -> None:
    query_set, blend = world.setup[2].evaluation_set.query_set, Blend(WEIGHTS["trained alone"], top_photos=2)
    ranking, asked = ranking_of(query_set, blend), list[int]()
    real = QuerySet.over_whole_gallery

    def counted(query_set: QuerySet, rows: np.ndarray, *given: Any, **named: Any) -> Ranking:
        asked.extend(rows.tolist())
        return real(query_set, rows, *given, **named)

    n = len(query_set.images)
    # nothing is kept, some is, all is and less is asked for, some again and behind what is kept, all at last
    for rows in (np.arange(3, 30, 3), np.arange(0, 40, 2), np.array([3, 4, 9]), np.arange(1, n, 7), np.arange(n)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(QuerySet, "over_whole_gallery", counted)
            kept = rescored(query_set, blend, ranking, rows, keep=True)
        assert same_ranking(kept, rescored(query_set, blend, ranking, rows))
        others = np.setdiff1d(np.arange(n), rows)
        assert same_ranking(kept.take(others), ranking.take(others))
    assert sorted(asked) == list(range(n)), "each row once"
    # what is kept is of this blend
    other = replace(blend, top_photos=1)
    kept = rescored(query_set, other, ranking, np.arange(n), keep=True)
    assert same_ranking(kept, rescored(query_set, other, ranking, np.arange(n)))


def test_a_certified_score_needs_nothing_where_all_photos_are_candidates(world: World) -> None:
    evaluation_set, blend = world.setup[EVERYTHING].evaluation_set, Blend(WEIGHTS["frozen and trained"], background=1.0)
    certified, (found, score) = certify(evaluation_set, blend), evaluation_set.decided(blend)
    assert certified.rescored == 0
    assert certified.blend == found
    for name, value in vars(score).items():
        np.testing.assert_array_equal(getattr(certified.score, name), value, err_msg=name)


@pytest.mark.parametrize("blend", BLENDS)
def test_the_submission_of_few_candidates_is_that_of_all(
    world: World, blend: Blend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, recomputed = {}, {}
    for nearest, project in world.project.items():
        blend.save(project / "blend.json")
        few_candidates(monkeypatch, nearest)
        report = submit(project, tmp_path / f"{nearest}.csv")
        written[nearest], recomputed[nearest] = (tmp_path / f"{nearest}.csv").read_bytes(), report["recomputed"]
    assert written[2] == written[8] == written[EVERYTHING]
    assert 12 >= recomputed[2] >= recomputed[8] >= recomputed[EVERYTHING] == 0
    assert recomputed[2] > 0
