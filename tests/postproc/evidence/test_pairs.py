"""Sparse pair tables against dictionaries, and evidence that they have a say in."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from paired import Told, table_of, told_of
from scenes import Photos, one_thread  # noqa: F401

import postproc.evidence.build
from cv.errors import FinblendError
from postproc import NOBODY, Evidence, Gallery, Space, build_evidence, join_evidence, top_k
from postproc.evidence.pairs import PairTable

N, GALLERY = 5, 9
numbers = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0])
pairs_told = st.dictionaries(
    st.tuples(st.integers(0, N - 1), st.integers(0, GALLERY - 1)), st.tuples(numbers, st.just(math.nan) | numbers)
)


def same(one: Told, other: Told) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)


@given(told=pairs_told, seed=st.integers(0, 100))
def test_a_table_holds_what_it_was_given_in_whatever_order(told: Told, seed: int) -> None:
    table = table_of(N, told, np.random.default_rng(seed).permutation(len(told)))
    assert table.n_queries == N
    assert list(told_of(table)) == sorted(told)
    assert same(told_of(table), told)
    assert (table.start.dtype, table.gallery.dtype, table.score.dtype) == (np.int64, np.int32, np.float32)


@given(told=pairs_told, rows=st.lists(st.integers(0, N - 1), max_size=7))
def test_some_queries_in_another_order_and_twice(told: Told, rows: list[int]) -> None:
    taken = table_of(N, told).take(np.array(rows, dtype=np.int64))
    assert taken.n_queries == len(rows)
    expected = {(i, g): told[q, g] for i, q in enumerate(rows) for g in range(GALLERY) if (q, g) in told}
    assert same(told_of(taken), expected)


@given(told=pairs_told, hidden=st.sets(st.integers(0, GALLERY - 1)))
def test_pairs_where_a_mask_is_true(told: Told, hidden: set[int]) -> None:
    table = table_of(N, told)
    left = table.where(~np.isin(table.gallery, list(hidden)))
    assert left.n_queries == N
    assert same(told_of(left), {pair: value for pair, value in told.items() if pair[1] not in hidden})


@given(told=pairs_told, k=st.integers(1, 4))
def test_the_best_scores_above_0_best_first_of_equal_ones_the_lower_row(told: Told, k: int) -> None:
    top = table_of(N, told).top(k)
    assert top.dtype == np.int32
    for q in range(N):
        ranked = sorted((-score, g) for (query, g), (score, _) in told.items() if query == q and score > 0)
        assert top[q].tolist() == ([g for _, g in ranked] + [NOBODY] * k)[:k]


def test_a_score_that_is_no_number_brings_nobody_in() -> None:
    assert table_of(1, {(0, 3): (math.nan, 1.0), (0, 5): (0.5, 1.0)}).top(2).tolist() == [[5, NOBODY]]


@pytest.mark.parametrize(
    ("query", "gallery", "told"),
    [
        ([0, 1, 0], [3, 3, 3], "query 0 and gallery photo 3 stand twice"),
        ([0, 2], [3, 3], "0 <= query < 2 must hold, but got query=2"),
        ([-1, 0], [3, 3], "0 <= query < 2 must hold, but got query=-1"),
    ],
)
def test_pairs_that_are_refused(query: list[int], gallery: list[int], told: str) -> None:
    with pytest.raises(FinblendError, match=told):
        PairTable.of(2, np.array(query), np.array(gallery), np.zeros(len(query)))


@pytest.mark.parametrize(
    ("start", "gallery", "n_scores", "told"),
    [
        ([0, 1, 2], [4, 4], 2, None),
        ([0, 0, 0], [], 0, None),
        ([0, 2, 2], [4, 4], 2, "must ascend"),
        ([0, 0, 2], [5, 4], 2, "must ascend"),
        ([1, 2], [4, 5], 2, "as many gallery rows"),
        ([0, 1], [4, 5], 2, "as many gallery rows"),
        ([0, 2, 1, 2], [4, 5], 2, "as many gallery rows"),
        ([0, 2], [4, 5], 1, "as many gallery rows"),
    ],
)
def test_tables_that_cannot_be_looked_up_are_refused(
    start: list[int], gallery: list[int], n_scores: int, told: str | None
) -> None:
    def table() -> PairTable:
        scores = np.zeros(n_scores, np.float32)
        return PairTable(np.array(start), np.array(gallery, dtype=np.int32), scores, np.zeros(len(gallery), np.float32))

    if told is None:
        assert table().n_queries == len(start) - 1
    else:
        with pytest.raises(FinblendError, match=told):
            table()


def drawn_told(rng: np.random.Generator, n: int, gallery: np.ndarray) -> Told:
    """About a third of all pairs: scores in quarters, some of them 0; a second number for some."""
    return {
        (q, int(g)): (int(rng.integers(0, 9)) / 4, math.nan if rng.random() < 0.5 else int(rng.integers(9)) / 4)
        for q in range(n)
        for g in gallery
        if rng.random() < 0.35
    }


def candidates_by_query(evidence: Evidence) -> list[dict[int, int]]:
    """Gallery photos of each query, with their place in the evidence."""
    start = evidence.photo_start[evidence.group_start]
    return [{int(evidence.photo[p]): p for p in range(start[q], start[q + 1])} for q in range(evidence.n_queries)]


@examples(20)
@given(seed=st.integers(0, 10_000))
def test_the_photos_that_pairs_say_most_of_are_candidates_with_their_similarity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = Photos(seed, 24, 7, {"a": ["orig"], "b": ["orig", "hflip"]})
    rows, met = np.flatnonzero(photos.folds == 0), np.flatnonzero(photos.folds != 0)
    told = [drawn_told(rng, len(rows), met) for _ in range(2)]
    tables = [table_of(len(rows), each) for each in told]
    near = {
        source: [
            top_k(space, 2, view=v, query_rows=rows, query_group=photos.folds, gallery_group=photos.folds)
            for v in range(space.n_views)
        ]
        for source, space in photos.spaces.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postproc.evidence.build, "NEAREST_OF_PAIRS", 3)
        plain = build_evidence(photos.spaces, photos.views, near, photos.gallery, rows)
        found = build_evidence(photos.spaces, photos.views, near, photos.gallery, rows, pairs=tables)
    whole = build_evidence(photos.spaces, photos.views, photos.nearest(rows), photos.gallery, rows)
    assert plain.pairs is None
    assert found.pairs is not None
    assert found.pairs.dtype == np.float32
    np.testing.assert_array_equal(found.unseen_upper_bound, plain.unseen_upper_bound)
    tops = [table.top(3) for table in tables]
    for q, (mine, without, everything) in enumerate(
        zip(candidates_by_query(found), candidates_by_query(plain), candidates_by_query(whole), strict=True)
    ):
        assert mine.keys() == without.keys() | {int(g) for top in tops for g in top[q] if g != NOBODY}
        for g, p in mine.items():
            np.testing.assert_array_equal(found.similarity[p], whole.similarity[everything[g]])
            expected = [number for each in told for number in each.get((q, g), (math.nan, math.nan))]
            np.testing.assert_array_equal(found.pairs[p], np.array(expected, dtype=np.float32))
    # and they come back from arrays as they were
    again = Evidence.from_arrays(found.sources, found.arrays())
    np.testing.assert_array_equal(again.pairs, found.pairs)


def test_joined_evidence_keeps_each_photo_s_pairs() -> None:
    rng = np.random.default_rng(1)
    photos = Photos(1, 24, 7, {"a": ["orig"]})
    parts, rows, told = [], [], []
    for fold in range(3):
        own, met = np.flatnonzero(photos.folds == fold), np.flatnonzero(photos.folds != fold)
        told.append(drawn_told(rng, len(own), met))
        tables = [table_of(len(own), told[-1])]
        near = photos.nearest(own)
        parts.append(build_evidence(photos.spaces, photos.views, near, photos.gallery, own, pairs=tables))
        rows.append(own)
    joined = join_evidence(parts, rows)
    assert joined.pairs is not None
    for fold, own in enumerate(rows):
        for i, q in enumerate(own):
            for g, p in candidates_by_query(joined)[q].items():
                np.testing.assert_array_equal(joined.pairs[p], told[fold].get((i, g), (math.nan, math.nan)))
    # where one part was never asked, nothing is said of any
    some = [dataclasses.replace(parts[0], pairs=None), *parts[1:]]
    assert join_evidence(some, rows).pairs is None


def test_pairs_of_nobody_change_nothing() -> None:
    photos = Photos(2, 12, 4, {"a": ["orig"]})
    rows = np.flatnonzero(photos.folds == 0)
    space: Space = photos.spaces["a"]
    near = {"a": [top_k(space, 3, query_rows=rows)]}
    gallery = Gallery(photos.labels)
    plain = build_evidence(photos.spaces, photos.views, near, gallery, rows)
    found = build_evidence(photos.spaces, photos.views, near, gallery, rows, pairs=[table_of(len(rows), {})])
    np.testing.assert_array_equal(found.photo, plain.photo)
    assert found.pairs is not None
    assert found.pairs.shape == (len(plain.photo), 2)
    assert np.isnan(found.pairs).all()
