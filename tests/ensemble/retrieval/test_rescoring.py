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
from ensemble.identification.scored_blend import sit_blend
from ensemble.protocol.certify import certified, decided
from ensemble.protocol.setup import Desk, desk_for
from ensemble.registry.models import require_sources
from ensemble.retrieval.query_set import Questions, questions_for_test, questions_out_of_fold

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
        self.asked: dict[int, dict[str, Questions]] = {}
        self.desk: dict[int, Desk] = {}
        for nearest in (*FEW, EVERYTHING):
            self.project[nearest] = folder / str(nearest)
            shutil.copytree(template, self.project[nearest])
            project = Project.open(self.project[nearest])
            sources = require_sources(project)
            with pytest.MonkeyPatch.context() as patch:
                few_candidates(patch, nearest)
                self.asked[nearest] = {
                    "out of fold": questions_out_of_fold(project, sources, {}),
                    "test": questions_for_test(project, sources, {}),
                }
                self.desk[nearest] = desk_for(project, sources, dict.fromkeys(sources, "none"), Mix(0.2))


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
        real = Questions.over_whole_gallery

        def counted(questions: Questions, rows: np.ndarray, *given: object, **named: object) -> object:
            asked.extend(rows.tolist())
            return real(questions, rows, *given, **named)  # type: ignore[arg-type]

        patch.setattr(Questions, "over_whole_gallery", counted)
        few, _ = both(world, 8, "out of fold", blend)
    assert 0 < len(set(asked)) == len(asked) == few.recomputed < 60


@pytest.mark.parametrize("nearest", FEW)
@pytest.mark.parametrize("blend", BLENDS)
def test_a_certified_score_is_that_of_the_whole_gallery(world: World, blend: Blend, nearest: int) -> None:
    exam, whole = world.desk[nearest].exam, world.desk[EVERYTHING].exam
    among = decided(exam, blend)[1]
    assert among.least < among.most or nearest > 2, "two candidates a search leave the score open"
    found, ranking, outcome, recomputed = certified(exam, blend)
    assert outcome.least == outcome.most == outcome.map5
    assert (recomputed > 0) == (among.least < among.most)
    assert found.decision == outcome.decision
    np.testing.assert_allclose(exam.weights, whole.weights)
    everything = whole.run(blend, found.decision)
    assert outcome.map5 == pytest.approx(everything.map5, abs=1e-12)
    assert whole.weights @ exam.precisions(ranking, found) == pytest.approx(everything.map5, abs=1e-12)
    assert among.least - 1e-12 <= whole.run(blend, among.decision).map5 <= among.most + 1e-12


def test_what_was_settled_once_is_kept_for_the_same_blend(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = world.desk[2]
    blend, ranking, outcome, _ = certified(desk.exam, Blend(WEIGHTS["frozen and trained"], background=1.0))
    sitting = sit_blend(desk, blend, known=ranking)
    assert sitting.recomputed > 0
    assert float(desk.exam.weights @ sitting.precision) == pytest.approx(outcome.map5, abs=1e-12)

    def forbidden(*given: object, **named: object) -> None:
        raise AssertionError("the whole gallery is opened again")

    with monkeypatch.context() as patch:
        patch.setattr(Questions, "over_whole_gallery", forbidden)
        again = sit_blend(desk, blend)
        for own, other in ((again.ranking, sitting.ranking), (sit_blend(desk, blend).ranking, sitting.ranking)):
            np.testing.assert_array_equal(own.individual, other.individual)
            np.testing.assert_array_equal(own.score, other.score)
        with pytest.raises(AssertionError, match="opened again"):
            sit_blend(desk, replace(blend, weights=WEIGHTS["trained alone"]))
    # without anything known it comes to the same
    shutil.rmtree(next(Project.open(world.project[2]).cache.glob("settled-*")))
    np.testing.assert_array_equal(sit_blend(desk, blend).precision, sitting.precision)


def test_a_certified_score_needs_nothing_where_all_photos_are_candidates(world: World) -> None:
    exam, blend = world.desk[EVERYTHING].exam, Blend(WEIGHTS["frozen and trained"], background=1.0)
    found, _, outcome, recomputed = certified(exam, blend)
    assert recomputed == 0
    assert (found, outcome) == decided(exam, blend)


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
