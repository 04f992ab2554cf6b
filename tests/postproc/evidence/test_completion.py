"""Completed evidence knows every photo that a mean of a candidate's best photos needs: against the whole gallery."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import (
    Fold,
    Photos,
    one_thread,  # noqa: F401
    same_ranking,
)

from postproc import Evidence, Gallery, join_evidence, rank
from postproc.evidence.completion import complete
from postproc.evidence.evidence import MAX_TOP_PHOTOS

VIEWS = ({"a": ["orig"], "b": ["orig"]}, {"a": ["u", "v"], "b": ["v", "u"]}, {"a": ["orig", "hflip"], "b": ["orig"]})
WEIGHTS = ([0.5, 0.5], [0.75, 0.25], [1.0, 0.0])


@cache
def fold_of(seed: int, views: int = 0) -> Fold:
    """20 photos that meet 40 others of 6 individuals; for one seed some are twins, for one networks have two parts."""
    return Fold(Photos(seed, 60, 6, VIEWS[views], parts=1 + (seed == 2), twins=6 * (seed == 1)))


def scores(evidence: Evidence, weights: list[float], top_photos: int) -> dict[tuple[int, int], np.float32]:
    """Score of every individual that a query ranks."""
    ranking = rank(evidence, np.array(weights), top_photos=top_photos)
    known = ranking.individual >= 0
    rows = np.broadcast_to(np.arange(len(known))[:, None], known.shape)
    who = zip(rows[known].tolist(), ranking.individual[known].tolist(), strict=True)
    return dict(zip(who, ranking.score[known], strict=True))


@examples(60)
@given(
    seed=st.integers(0, 3),
    views=st.integers(0, 2),
    k=st.integers(1, 20),
    weights=st.sampled_from(WEIGHTS),
    top_photos=st.integers(2, MAX_TOP_PHOTOS),
)
def test_means_of_candidates_are_those_over_the_whole_gallery(
    seed: int, views: int, k: int, weights: list[float], top_photos: int
) -> None:
    # six individuals, so all are in the lists of seven
    fold = fold_of(seed, views)
    completed = fold.completed(fold.evidence(k))
    got, whole = scores(completed, weights, top_photos), scores(fold.everything, weights, top_photos)
    assert got
    assert all(whole[who] == score for who, score in got.items())
    # with one photo per individual nothing changes
    one, other = (rank(e, np.array(weights)) for e in (fold.evidence(k), completed))
    assert same_ranking(one, other)


def test_further_photos_are_those_that_fewer_than_three_others_exceed() -> None:
    fold = fold_of(0)
    few = fold.evidence(4)
    got = fold.completed(few)
    assert got.further_start is not None
    assert got.further_photo is not None
    assert got.further_similarity is not None
    labels, everything = fold.photos.labels, fold.everything
    assert len(got.further_photo) > 50
    for q in range(few.n_queries):
        groups = range(few.group_start[q], few.group_start[q + 1])
        known = slice(*everything.photo_start[everything.group_start[[q, q + 1]]])
        similarity = dict(zip(everything.photo[known].tolist(), everything.similarity[known], strict=True))
        for g in groups:
            candidates = set(few.photo[few.photo_start[g] : few.photo_start[g + 1]].tolist())
            own = slice(got.further_start[g], got.further_start[g + 1])
            further = got.further_photo[own].tolist()
            every = [p for p in similarity if labels[p] == few.individual[g]]
            for photo in set(every) - candidates:
                above = sum((similarity[o] > similarity[photo] + np.float32(1e-5)).all() for o in every)
                assert (photo in further) == (above < MAX_TOP_PHOTOS)
            assert not candidates & set(further)
            for photo, values in zip(further, got.further_similarity[own], strict=True):
                np.testing.assert_array_equal(values, similarity[photo])


def test_pairs_at_a_time_change_nothing() -> None:
    fold = fold_of(1)
    few = fold.evidence(3)
    photos = fold.photos
    whole = complete(few, photos.spaces, photos.views, photos.gallery, fold.rows)
    for name, array in fold.completed(few).arrays().items():
        np.testing.assert_array_equal(array, whole.arrays()[name], err_msg=name)


def test_the_query_itself_is_no_further_photo() -> None:
    photos = Photos(3, 30, 3, VIEWS[0])
    rows = np.arange(30)
    gallery = Gallery(photos.labels, selves=rows.astype(np.int32))
    fold = Fold(photos)
    nobody = replace(
        fold.everything,
        group_start=np.arange(31),
        individual=photos.labels,
        gallery_photos=(np.bincount(photos.labels)[photos.labels] - 1).astype(np.int32),
        photo_start=np.zeros(31, dtype=np.int64),
        photo=np.empty(0, dtype=np.int32),
        similarity=np.empty((0, 2), dtype=np.float32),
        unseen_upper_bound=np.ones((30, 2), dtype=np.float32),
    )
    got = complete(nobody, photos.spaces, photos.views, gallery, rows)
    assert got.further_start is not None
    assert got.further_photo is not None
    query = np.repeat(rows, np.diff(got.further_start))
    assert (got.further_photo != query).all()
    assert (photos.labels[got.further_photo] == photos.labels[query]).all()


@pytest.mark.parametrize("top_photos", [2, 3])
def test_joined_and_read_again_it_ranks_the_same(top_photos: int) -> None:
    folds = [Fold(fold_of(0).photos, n) for n in range(3)]
    parts = [fold.completed(fold.evidence(4)) for fold in folds]
    joined = join_evidence(parts, [fold.rows for fold in folds])
    joined = Evidence.from_arrays(joined.sources, joined.arrays())
    for fold, part in zip(folds, parts, strict=True):
        own, together = (rank(e, np.array([0.5, 0.5]), top_photos=top_photos) for e in (part, joined))
        assert same_ranking(own, together.take(fold.rows))
    # where a part has none, the whole has none
    assert join_evidence([folds[0].evidence(4), *parts[1:]], [fold.rows for fold in folds]).further_start is None


def test_far_more_is_decided_about_means_once_their_photos_are_there() -> None:
    fold = fold_of(0)
    few = fold.evidence(8)
    share = [
        rank(evidence, np.array([0.5, 0.5]), top_photos=3).is_open(1).mean() for evidence in (few, fold.completed(few))
    ]
    assert share[0] > 0.9
    assert share[1] < 0.5
