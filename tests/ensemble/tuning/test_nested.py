"""The nested score: what was chosen without a fold knows nothing of it, luck is exposed, and differences are paired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import EVERYTHING, FOLDS, add, add_trained, few_candidates
from retrievals import precisions_of, unwhitened
from small import Small

import ensemble.retrieval.selection
import ensemble.tuning.nested
from cv import Mix
from ensemble import Blend, Project, evaluate, init, register, tune
from ensemble.blend.ranking import ranking_of
from ensemble.identification.prediction import certain_ranking
from ensemble.protocol.setup import Setup, read_setup, setup_with
from ensemble.registry.models import require_models
from ensemble.retrieval.query_set import LabelledQuerySet
from ensemble.retrieval.retriever import Retriever
from ensemble.retrieval.selection import choose_whitening, clear_best
from ensemble.tuning.nested import TOLERANCE, nested_score
from ensemble.tuning.nested_result import NestedResult, NestedScore
from ensemble.tuning.search import first_points, search
from ensemble.tuning.study import study_in_memory
from postproc import NEW

MIX = Mix(0.2, gallery_exponent=None)  # without the species among test photos, which every fold's network has a say in


def project_with(folder: Path, fill: Callable[[Path, Small], None]) -> Project:
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    fill(folder / "P", small)
    return Project.open(folder / "P")


def scored(setup: Setup, trials: int = 6, seed: int = 0) -> NestedScore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble.tuning.nested, "choose_whitening", lambda *_, **__: dict(setup.whitening))
        return nested_score(setup, trials=trials, seed=seed)


def chosen(score: NestedScore, fold: int) -> dict[str, Any]:
    """What was chosen without a fold, and nothing of how it did there."""
    return {key: value for key, value in score.folds[fold].as_dict().items() if key != "map5"}


def blend_without(score: NestedScore, fold: int) -> Blend:
    kept = {key: value for key, value in score.folds[fold].as_dict().items() if key in Blend.__dataclass_fields__}
    return Blend(**kept)


def three_frozen(project: Path, small: Small) -> None:
    for seed in range(3):
        add(project, small, f"m{seed}", seed + 1, noise=2.5 + 0.5 * seed)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Setup, NestedScore]:
    project = project_with(tmp_path_factory.mktemp("frozen"), three_frozen)
    setup = unwhitened(project, MIX)
    return project, setup, scored(setup)


def noise_models(seed: int, frozen: bool) -> Callable[[Path, Small], None]:
    def fill(project: Path, small: Small) -> None:
        rng = np.random.default_rng(seed)
        for n in range(8):
            for seen in [{"frozen": True}] if frozen else [{"fold": fold} for fold in FOLDS]:
                train, test = (rng.standard_normal((rows, 8)).astype(np.float32) for rows in (60, 12))
                given = {"train": (small.train_images, train), "test": (small.test_images, test)}
                register(project, f"n{n}", **seen, **given)

    return fill


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
def test_a_lucky_blend_of_noise_is_exposed(tmp_path: Path, frozen: bool) -> None:
    """In-sample, tuning makes something of nothing; nested, its recipes do as well as on other noise: by chance."""
    worlds = [project_with(tmp_path / str(seed), noise_models(seed, frozen)) for seed in range(4)]
    setups = [unwhitened(project, MIX) for project in worlds]
    in_sample, nested, chance = [], [], []
    for setup in setups:
        points, _ = first_points(setup)
        blend = search(setup, study_in_memory(0), points, trials=12 + len(points), seed=0).blend
        score = scored(setup, trials=12)
        report = NestedResult.of(score, setup.evaluation_set.decided(blend)[1].map5)
        assert report["optimism"] == pytest.approx(report["in_sample"] - report["map5"])
        assert report["optimism"] > 0
        in_sample.append(report["in_sample"])
        nested.append(report["map5"])
        chance += [across(other, score) for other in setups if other is not setup]
    gap = np.mean(in_sample) - np.mean(chance)
    assert gap > 0.1
    # some luck stays with frozen networks: they compare a pair both ways, so what one fold likes the other does, too
    assert abs(np.mean(nested) - np.mean(chance)) < gap / 2


def across(setup: Setup, score: NestedScore) -> float:
    """What the recipes of a nested score reach with other models of the same photos."""
    total, evaluation_set = 0.0, setup.evaluation_set
    for fold in FOLDS:
        recipe, inside = blend_without(score, fold), evaluation_set.fold == fold
        precision = precisions_of(evaluation_set, ranking_of(evaluation_set.query_set, recipe), recipe)
        total += float(evaluation_set.weights[inside] @ precision[inside])
    return total


def trained_models(broken: int | None) -> Callable[[Path, Small], None]:
    def fill(project: Path, small: Small) -> None:
        for n in range(2):
            add_trained(project, small, f"t{n}", 10 * n + 1, noise=2.5)
        if broken is not None:
            for n in range(2):
                noise = np.random.default_rng(n).standard_normal((60, 24)).astype(np.float32)
                given = {"train": (small.train_images, noise), "test": (small.test_images, small.noisy(50 + n)[1])}
                register(project, f"t{n}", fold=broken, replace=True, **given)

    return fill


def test_choices_without_a_fold_do_not_depend_on_its_networks(tmp_path: Path) -> None:
    """Fold 2's networks see only fold 2's photos as queries: they are noise here, and nobody without it knows."""
    whole, broken = (project_with(tmp_path / str(b), trained_models(b)) for b in (None, 2))
    setups = [read_setup(project, MIX) for project in (whole, broken)]
    one, other = (nested_score(setup, trials=6) for setup in setups)
    assert chosen(one, 2) == chosen(other, 2)
    assert one.folds[2]["map5"] > other.folds[2]["map5"] + 0.2
    inside = setups[0].evaluation_set.fold == 2
    assert (one.blend[inside] != other.blend[inside]).any()
    for fold in (0, 1, 3, 4):
        assert chosen(one, fold) != chosen(other, fold), "everybody else tunes on fold 2"


@dataclass(frozen=True, kw_only=True, eq=False)
class Misled(Retriever):
    """A retriever whose out-of-fold photos are said to show others."""

    truth: np.ndarray

    def out_of_fold(self) -> LabelledQuerySet:
        return replace(super().out_of_fold(), truth=self.truth)


@pytest.mark.parametrize("fold", [0, 3])
def test_choices_without_a_fold_do_not_depend_on_its_answers(
    frozen: tuple[Project, Setup, NestedScore], fold: int
) -> None:
    project, setup, score = frozen
    query_set = setup.evaluation_set.query_set
    truth = np.array(query_set.truth)
    own = np.flatnonzero((project.catalogue.folds == fold) & (truth != NEW))
    truth[own] = np.roll(truth[own], 1)
    assert (truth != query_set.truth).sum() > 5
    given = {each.name: getattr(setup.retriever, each.name) for each in fields(Retriever) if each.init}
    other = scored(setup_with(Misled(**given, truth=truth), MIX))
    assert chosen(other, fold) == chosen(score, fold)
    assert other.folds[fold]["map5"] < score.folds[fold]["map5"]
    assert any(chosen(other, f) != chosen(score, f) for f in FOLDS if f != fold)


def test_a_fold_has_no_say_in_whitening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whitening is a blessing in fold 2 only."""
    project = project_with(tmp_path, three_frozen)

    def column(_: Any, __: Any, fold: int, *___: Any) -> tuple[np.ndarray, dict[str, Any]]:
        precision = np.full((3, 12), 0.5)
        precision[1] += np.where(np.arange(12) < 9, 0.4, 0.0) if fold == 2 else 0.0
        return precision, {}

    monkeypatch.setattr(ensemble.retrieval.selection, "_column", column)
    monkeypatch.setattr(ensemble.retrieval.selection, "_can_fit", lambda *_: True)
    models = require_models(project)
    for without, expected in ((None, "total"), (0, "total"), (2, "none")):
        assert set(choose_whitening(project, models, without=without).values()) == {expected}


def test_a_gain_within_the_noise_is_none() -> None:
    """Two standard errors of the paired difference, and the best of those beyond them."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 1000)) * 0.1
    noise -= noise.mean(axis=1, keepdims=True)
    base, error = np.full(1000, 0.5), noise.std(axis=1) / np.sqrt(1000)
    for factor, expected in ((0.95, 0), (1.05, 2)):
        assert clear_best(np.stack([base, base + noise[0], base + noise[1] + factor * 2 * error[1]])) == expected
    assert clear_best(np.empty((3, 0))) == 0


def test_whitening_is_chosen_anew_without_each_fold(
    frozen: tuple[Project, Setup, NestedScore], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, setup, _ = frozen
    asked: list[int] = []

    def stand_in(_: Project, models: Any, progress: Any, without: int) -> dict[str, str]:
        asked.append(without)
        return dict.fromkeys(models, "total" if without == 3 else "none")

    monkeypatch.setattr(ensemble.tuning.nested, "choose_whitening", stand_in)
    score = nested_score(setup, trials=0)
    assert asked == list(FOLDS)
    assert [set(row.whitening.values()) for row in score.folds] == [{"none"}] * 3 + [{"total"}] + [{"none"}]
    # and the fold is scored in the spaces that were chosen without it
    whitened = unwhitened(project, MIX, whitening=dict.fromkeys(setup.models, "total")).evaluation_set
    blend, inside = blend_without(score, 3), setup.evaluation_set.fold == 3
    precision = precisions_of(whitened, ranking_of(whitened.query_set, blend), blend)
    np.testing.assert_array_equal(score.plain[inside], precision[inside])


def test_each_photo_is_scored_by_what_was_chosen_without_it(frozen: tuple[Project, Setup, NestedScore]) -> None:
    _, setup, score = frozen
    total, evaluation_set = 0.0, setup.evaluation_set
    for fold in FOLDS:
        blend, inside = blend_without(score, fold), evaluation_set.fold == fold
        precision = precisions_of(evaluation_set, certain_ranking(evaluation_set.query_set, blend)[0], blend)
        np.testing.assert_allclose(score.plain[inside], precision[inside])
        weights = evaluation_set.weights[inside]
        assert score.folds[fold]["map5"] == pytest.approx(np.average(score.blend[inside], weights=weights))
        assert score.folds[fold]["second_stage"] or np.array_equal(score.blend[inside], score.plain[inside])
        total += float(weights @ precision[inside])
        assert score.folds[fold]["single"] in setup.models
    assert NestedResult.of(score, 0.9)["against"]["plain"]["map5"] == pytest.approx(total)


def test_the_same_seed_gives_the_same_score_and_another_one_others(
    frozen: tuple[Project, Setup, NestedScore],
) -> None:
    _, setup, score = frozen
    again, other = scored(setup), scored(setup, seed=1)
    assert again.folds == score.folds
    np.testing.assert_array_equal(again.blend, score.blend)
    assert NestedResult.of(again, 0.9) == NestedResult.of(score, 0.9)
    assert other.folds != score.folds


def test_the_report_pairs_its_differences_and_predicts_a_test(frozen: tuple[Project, Setup, NestedScore]) -> None:
    _, _, score = frozen
    report = NestedResult.of(score, 0.9)
    assert report["optimism"] == pytest.approx(0.9 - report["map5"])
    low, high = report["interval"]
    assert low < report["map5"] < high
    assert report["prediction"][0] < low < high < report["prediction"][1]
    assert report["test_photos"] == 12
    for who in ("single", "equal"):
        told = report["against"][who]
        assert told["difference"] == pytest.approx(report["map5"] - told["map5"])
        assert told["interval"][0] <= told["difference"] <= told["interval"][1]
        # paired: photos are hard or easy for both
        assert told["interval"][1] - told["interval"][0] < high - low
    against_itself = NestedResult.of(replace(score, single=score.blend), 0.9)["against"]["single"]
    assert (against_itself["difference"], against_itself["interval"]) == (0.0, [0.0, 0.0])


def test_what_few_candidates_leave_open_of_a_held_out_fold_is_settled(
    tmp_path: Path,
) -> None:
    project = project_with(tmp_path, three_frozen)
    setups = {}
    with pytest.MonkeyPatch.context() as patch:
        for nearest in (EVERYTHING, 3):
            few_candidates(patch, nearest)
            setups[nearest] = unwhitened(project, MIX)
    score = scored(setups[3], trials=0)
    assert score.width <= TOLERANCE
    assert setups[3].evaluation_set.decided(blend_without(score, 0))[1].undecided > 0.1
    whole = setups[EVERYTHING].evaluation_set
    for fold in FOLDS:
        inside, blend = whole.fold == fold, blend_without(score, fold)
        precision = precisions_of(whole, ranking_of(whole.query_set, blend), blend)
        np.testing.assert_allclose(score.blend[inside], precision[inside], atol=1e-12)


def test_evaluate_gives_the_score_that_tuning_gave(tmp_path: Path) -> None:
    project = project_with(tmp_path, three_frozen).folder
    report = tune(project, trials=8, new_share=0.2, nested_trials=3, seed=4)
    told = evaluate(project, nested=True, nested_trials=3, seed=4)
    # the in-sample score is summed by the trial here and from the settled lists there
    summed = ("in_sample", "optimism")
    assert {k: v for k, v in told["nested"].items() if k not in summed} == {
        k: v for k, v in report["nested"].items() if k not in summed
    }
    for key in summed:
        assert told["nested"][key] == pytest.approx(report["nested"][key], abs=1e-12)
    assert evaluate(project)["nested"] is None
