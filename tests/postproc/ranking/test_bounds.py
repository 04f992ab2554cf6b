"""Bounds from few candidates hold the answer over the whole gallery, in every photo and every place."""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import (
    Fold,
    Photos,
    answer,
    one_thread,  # noqa: F401
    same_ranking,
)

from cv.metrics import average_precisions
from postproc import NEW, Evidence, Ranking, rank
from postproc.ranking.prune import prune
from postproc.ranking.ranking import DEPTH
from postproc.ranking.scorer import BlendScore, BlendScorer

VIEWS = ({"a": ["orig"], "b": ["orig"]}, {"a": ["orig", "hflip"], "b": ["orig"]}, {"a": ["u", "v"], "b": ["v", "u"]})


@cache
def fold_of(seed: int, views: int) -> Fold:
    """15 photos that meet 30 others, of 16 individuals."""
    return Fold(Photos(seed, 45, 16, VIEWS[views], noise=[0.5, 1.0][seed % 2]))


def few_candidates(fold: Fold, k: int, same_species: int, steps: str) -> Evidence:
    """Evidence of a fold from a few neighbours, after some steps."""
    few = fold.evidence(k, same_species)
    for step in steps.split():
        if step == "pruned":
            few = prune(few, fold.species.mismatch, fold.species.of_individual)
        if step == "completed":
            few = fold.completed(few)
    return few


def scorer_of(fold: Fold, few: Evidence) -> BlendScorer:
    """Every photo as itself, the known ones once more as strangers."""
    hidden = np.flatnonzero(fold.truth != NEW)
    n = len(fold.truth) + len(hidden)
    return BlendScorer(few, fold.species, fold.truth, np.full(n, 1 / n), hidden=hidden)


def true_precisions(scorer: BlendScorer, score: BlendScore, background: float, whole: Ranking) -> np.ndarray:
    """Each sitting photo's precision over the whole gallery, at the decision that the candidates gave."""
    got = answer(whole.take(scorer.query), scorer.hide, background, score.decision)
    return average_precisions(got, np.where(scorer.truth < 0, NEW, scorer.truth))


CASES = {
    "seed": st.integers(0, 7),
    "views": st.integers(0, 2),
    "k": st.one_of(st.integers(1, 12), st.integers(1, 45)),
    "same_species": st.sampled_from([0, 3, 8]),
    "steps": st.sampled_from(["", "pruned", "completed", "pruned completed", "completed pruned"]),
}
WEIGHTS = ([0.5, 0.5], [0.75, 0.25], [1.0, 0.0], [0.0, 1.0])
RECIPES = [
    (np.array(weights), top_photos, penalty)
    for weights, top_photos, penalty in itertools.product(WEIGHTS, (1, 2, 3), (0.0, 0.2, 5.0))
]


@examples(80)
@given(background=st.sampled_from([0.0, 0.7, 1.3]), **CASES)
def test_the_true_precision_of_every_photo_lies_within_its_bounds(
    seed: int, views: int, k: int, same_species: int, steps: str, background: float
) -> None:
    fold = fold_of(seed, views)
    scorer = scorer_of(fold, few_candidates(fold, k, same_species, steps))
    for weights, top_photos, penalty in RECIPES:
        score = scorer.score(weights, top_photos=top_photos, species_penalty=penalty, background=background)
        whole = rank(fold.everything, weights, top_photos=top_photos, species_penalty=penalty, species=fold.species)
        true = true_precisions(scorer, score, background, whole)
        assert (score.precision_lower <= true).all()
        assert (true <= score.precision_upper).all()
        assert score.lower - 1e-12 <= scorer.weights @ true <= score.upper + 1e-12


@examples(80)
@given(**CASES)
def test_places_that_are_not_open_are_those_of_the_whole_gallery(
    seed: int, views: int, k: int, same_species: int, steps: str
) -> None:
    fold = fold_of(seed, views)
    few = few_candidates(fold, k, same_species, steps)
    for weights, top_photos, penalty in RECIPES:
        got, whole = (
            rank(evidence, weights, top_photos=top_photos, species_penalty=penalty, species=fold.species)
            for evidence in (few, fold.everything)
        )
        assert not whole.is_open(DEPTH).any()
        for depth in range(1, DEPTH + 1):
            sure = ~got.is_open(depth)
            assert np.array_equal(got.individual[sure, :depth], whole.individual[sure, :depth])
            assert np.array_equal(got.score[sure, :depth], whole.score[sure, :depth])


@pytest.mark.parametrize("views", [0, 1])
def test_the_more_candidates_the_less_is_open_and_with_all_nothing(views: int) -> None:
    fold = fold_of(0, views)
    for top_photos in (1, 3):
        widths, shares = [], []
        for k in (1, 4, 10, 20, 45):
            scorer = scorer_of(fold, few_candidates(fold, k, 0, "pruned"))
            score = scorer.score(np.array([0.5, 0.5]), top_photos=top_photos)
            widths.append(score.upper - score.lower)
            shares.append(score.undecided)
        # the decision follows the evidence, so a width need not shrink at every step
        assert min(widths[:2]) > 0
        assert widths[0] > 0.5
        assert widths[-2] < 0.5 * widths[0]
        assert shares[-2] < shares[0]
        assert widths[-1] == shares[-1] == 0


def test_a_planted_fault_is_found() -> None:
    # bounds a little too low, as wrong ones of the sources would make them: then some photo's true precision is outside
    caught = {"too low": 0, "as they are": 0}
    for seed, (weights, top_photos, penalty) in itertools.product(range(8), RECIPES):
        fold = fold_of(seed, 0)
        scorer = scorer_of(fold, few_candidates(fold, 4, 0, "pruned"))
        options = {"top_photos": top_photos, "species_penalty": penalty}
        ranking = scorer.ranker.rank(weights, **options)
        right = ranking.unseen_upper_bound
        assert right is not None
        lowered = np.where(np.isposinf(right), -np.inf, right - 0.05).astype(np.float32)
        whole = rank(fold.everything, weights, **options, species=fold.species)
        for name, bound in (("too low", lowered), ("as they are", right)):
            score = scorer.score_ranking(dataclasses.replace(ranking, unseen_upper_bound=bound), 0.0)
            true = true_precisions(scorer, score, 0.0, whole)
            caught[name] += int(((true < score.precision_lower) | (true > score.precision_upper)).any())
    assert caught["as they are"] == 0
    assert caught["too low"] > 20


def test_what_a_recipe_reached_stays_when_others_are_scored() -> None:
    fold = fold_of(1, 0)
    scorer = scorer_of(fold, few_candidates(fold, 4, 0, "pruned"))
    first = scorer.score(np.array([0.5, 0.5]))
    names = ("precision", "precision_lower", "precision_upper", "is_undecided")
    kept = {name: getattr(first, name).copy() for name in names}
    others = [scorer.score(weights, top_photos=top_photos) for weights, top_photos, _ in RECIPES]
    for name in names:
        np.testing.assert_array_equal(getattr(first, name), kept[name], err_msg=name)
        assert any((getattr(other, name) != kept[name]).any() for other in others), "else there was nothing to change"
        assert not np.shares_memory(getattr(first, name), getattr(others[-1], name))
    assert first.map5 == pytest.approx(scorer.weights @ first.precision)


def views_apart(similarity: list[list[list[float]]], gallery_photos: list[int]) -> Evidence:
    """One query of one source in two views; similarity[individual][photo][view], upper bounds at a half."""
    count = np.array([len(photos) for photos in similarity])
    return Evidence(
        sources=("a",),
        channels=np.array([[0, 1]], dtype=np.int32),
        group_start=np.array([0, len(count)]),
        individual=np.arange(len(count), dtype=np.int32),
        gallery_photos=np.array(gallery_photos, dtype=np.int32),
        photo_start=np.append(0, np.cumsum(count)),
        photo=np.arange(count.sum(), dtype=np.int32),
        similarity=np.array([photo for photos in similarity for photo in photos], dtype=np.float32),
        unseen_upper_bound=np.full((1, 2), 0.5, dtype=np.float32),
    )


def test_a_photo_that_is_nearer_in_one_view_only_lifts_its_individual_above_the_upper_bound() -> None:
    # 0.75 and -0.25 make 0.25; an unseen photo of the same individual at 0.5 in the second view makes it 0.625, more
    # than the upper bound of 0.5 and more than the first place at 0.6
    level, first = [[0.8, -0.2]], [[0.6, 0.6]]
    few = views_apart([[[0.75, -0.25]], first, *[level] * 7], [2, *[1] * 8])
    every = views_apart([[[0.75, -0.25], [0.25, 0.5]], first, *[level] * 7], [2, *[1] * 8])
    assert rank(every, np.ones(1)).individual[0, :2].tolist() == [0, 1]
    ranking = rank(few, np.ones(1))
    assert ranking.individual[0, 0] == 1
    assert ranking.unseen_upper_bound == pytest.approx([0.65])
    # seven others exceed it as far as it is seen, so it is pruned; it may still come first
    pruned = prune(few, np.zeros((1, 1), np.float32), np.zeros(9, np.int32))
    assert pruned.individual.tolist() == list(range(1, 9))
    assert same_ranking(rank(pruned, np.ones(1)), ranking)
    assert ranking.is_open(1).all()


def test_a_mean_of_two_can_be_lifted_into_the_list_by_a_photo_outside_the_candidates() -> None:
    # the eighth has 0.9 and, among two candidates, -0.9; an unseen photo at 0.5 makes it 0.7, the first of all
    seen = [[[0.625, 0.625]] * 2] * 7
    few = views_apart([*seen, [[0.9, 0.9], [-0.9, -0.9]]], [*[2] * 7, 3])
    ranking = rank(few, np.ones(1), top_photos=2)
    assert ranking.individual.tolist() == [list(range(7))]
    assert ranking.unseen_upper_bound == pytest.approx([0.7])
    assert ranking.is_open(1).all()
