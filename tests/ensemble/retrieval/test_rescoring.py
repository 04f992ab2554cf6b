"""Few candidates give the same answers and the same score as all of them: what they leave open is settled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import EVERYTHING, add, add_trained, few_candidates
from small import Small

from cv import Mix
from ensemble import Blend, Project, init, submit
from ensemble.identification.prediction import Prediction, predict
from ensemble.identification.scored_blend import score_blend
from ensemble.protocol.certify import certified, decided
from ensemble.protocol.setup import Setup, build_setup
from ensemble.registry.models import require_models
from ensemble.retrieval.query_set import QuerySet, queries_of_test, queries_out_of_fold

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
            project = Project.open(self.project[nearest])
            models = require_models(project)
            with pytest.MonkeyPatch.context() as patch:
                few_candidates(patch, nearest)
                self.asked[nearest] = {
                    "out of fold": queries_out_of_fold(project, models, {}),
                    "test": queries_of_test(project, models, {}),
                }
                self.setup[nearest] = build_setup(project, models, dict.fromkeys(models, "none"), Mix(0.2))


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
    assert whole.recomputed == 0
    assert few.recomputed > 0 or nearest > 2
    np.testing.assert_array_equal(few.labels, whole.labels)
    # where five places are certain, those behind them may still be open
    np.testing.assert_array_equal(few.ranking.individual[:, :5], whole.ranking.individual[:, :5])
    np.testing.assert_allclose(few.ranking.score[:, :5], whole.ranking.score[:, :5], atol=1e-6)


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
    assert 0 < len(set(asked)) == len(asked) == few.recomputed < 60


@pytest.mark.parametrize("nearest", FEW)
@pytest.mark.parametrize("blend", BLENDS)
def test_a_certified_score_is_that_of_the_whole_gallery(world: World, blend: Blend, nearest: int) -> None:
    evaluation_set, whole = world.setup[nearest].evaluation_set, world.setup[EVERYTHING].evaluation_set
    among = decided(evaluation_set, blend)[1]
    assert among.least < among.most or nearest > 2, "two candidates a search leave the score open"
    found, ranking, outcome, recomputed = certified(evaluation_set, blend)
    assert outcome.least == outcome.most == outcome.map5
    assert (recomputed > 0) == (among.least < among.most)
    assert found.decision == outcome.decision
    np.testing.assert_allclose(evaluation_set.weights, whole.weights)
    everything = whole.run(blend, found.decision)
    assert outcome.map5 == pytest.approx(everything.map5, abs=1e-12)
    assert whole.weights @ evaluation_set.precisions(ranking, found) == pytest.approx(everything.map5, abs=1e-12)
    assert among.least - 1e-12 <= whole.run(blend, among.decision).map5 <= among.most + 1e-12


def test_what_was_settled_once_is_kept_for_the_same_blend(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = world.setup[2]
    blend, ranking, outcome, _ = certified(setup.evaluation_set, Blend(WEIGHTS["frozen and trained"], background=1.0))
    scored = score_blend(setup, blend, known=ranking)
    assert scored.recomputed > 0
    assert float(setup.evaluation_set.weights @ scored.precision) == pytest.approx(outcome.map5, abs=1e-12)

    def forbidden(*given: object, **named: object) -> None:
        raise AssertionError("the whole gallery is opened again")

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "over_whole_gallery", forbidden)
        again = score_blend(setup, blend)
        for own, other in ((again.ranking, scored.ranking), (score_blend(setup, blend).ranking, scored.ranking)):
            np.testing.assert_array_equal(own.individual, other.individual)
            np.testing.assert_array_equal(own.score, other.score)
        with pytest.raises(AssertionError, match="opened again"):
            score_blend(setup, replace(blend, weights=WEIGHTS["trained alone"]))
    # without anything known it comes to the same
    shutil.rmtree(next(Project.open(world.project[2]).cache.glob("settled-*")))
    np.testing.assert_array_equal(score_blend(setup, blend).precision, scored.precision)


def test_a_certified_score_needs_nothing_where_all_photos_are_candidates(world: World) -> None:
    evaluation_set, blend = world.setup[EVERYTHING].evaluation_set, Blend(WEIGHTS["frozen and trained"], background=1.0)
    found, _, outcome, recomputed = certified(evaluation_set, blend)
    assert recomputed == 0
    assert (found, outcome) == decided(evaluation_set, blend)


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
