"""Sparse k-reciprocal encoding against the paper's, on a dense pool of the gallery and one query."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_spaces import drawn
from hypothesis import given
from hypothesis import strategies as st
from scenes import one_thread  # noqa: F401 - a fixture

from cv import FinblendError
from postproc import NOBODY, Neighbours, Space, top_k
from postproc.neighbours.search import pair_similarities
from postproc.transforms.reciprocal import Reciprocal, gallery_lists, reciprocal_similarities


def pool(space: Space, q: int, view: int, rows: np.ndarray) -> np.ndarray:
    """Similarities among the gallery and, last, the query."""
    m = len(rows)
    out = np.empty((m + 1, m + 1), dtype=np.float32)
    one, other = np.meshgrid(np.arange(m), np.arange(m), indexing="ij")
    among = Space(space.gallery, space.gallery)
    out[:m, :m] = pair_similarities(among, view, rows, one.ravel(), rows[other.ravel()]).reshape(m, m)
    out[m, :m] = out[:m, m] = pair_similarities(space, view, np.array([q]), np.zeros(m, int), rows)
    return out


def paper(similarity: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """1 less the Jaccard distance of the last of the pool and every other, step by step as the paper has it."""
    n = len(similarity)
    distance = 1.0 - similarity.astype(float)
    order = []
    for p in range(n):
        others = [x for x in range(n) if x != p]
        # the photo itself first; of equals, gallery order
        order.append([p, *sorted(others, key=lambda x: (-similarity[p, x], x))])

    def nearest(p: int, k: int) -> list[int]:
        return order[p][: k + 1]

    def mutual(p: int, k: int) -> set[int]:
        return {g for g in nearest(p, k) if p in nearest(g, k)}

    half = max(1, round(k1 / 2))
    encoded = np.zeros((n, n))
    for p in range(n):
        expanded = set(mutual(p, k1))
        for q in mutual(p, k1):
            if len(mutual(p, k1) & mutual(q, half)) >= 2 / 3 * len(mutual(q, half)):
                expanded |= mutual(q, half)
        for g in expanded:
            encoded[p, g] = np.exp(-(distance[p, g] if g != p else 0.0))
        encoded[p] /= encoded[p].sum()
    averaged = np.array([encoded[order[p][:k2]].mean(axis=0) for p in range(n)])
    return np.array(
        [
            np.minimum(averaged[-1], averaged[g]).sum() / np.maximum(averaged[-1], averaged[g]).sum()
            for g in range(n - 1)
        ]
    )


def quickly(
    space: Space, k: int, how: Reciprocal, rows: np.ndarray, queries: np.ndarray, view: int = 0, **options: int
) -> tuple[Neighbours, np.ndarray]:
    """Each query's k nearest of the gallery and their values."""
    inside = np.zeros(space.n_gallery, dtype=int)
    inside[rows] = 1
    near = top_k(
        space, k, view=view, query_rows=queries, query_group=np.zeros(space.n_query, int), gallery_group=inside
    )
    lists = gallery_lists(space, how.k1, rows, view)
    (found,) = reciprocal_similarities(space, near, lists, queries, rows, [how], view, **options)
    return near, found


def check(space: Space, how: Reciprocal, rows: np.ndarray, k: int, view: int = 0) -> int:
    """Compare all queries; how many values are neither 0 nor 1."""
    queries = np.arange(space.n_query)[::-1]
    near, found = quickly(space, k, how, rows, queries, view)
    some = 0
    for i, q in enumerate(queries.tolist()):
        expected = paper(pool(space, q, view, rows), how.k1, how.k2)
        there = near.index[i] != NOBODY
        at = np.searchsorted(rows, near.index[i][there])
        assert found[i][there] == pytest.approx(expected[at], abs=1e-6)
        assert (found[i][~there] == 0).all()
        some += int(((found[i] > 0.01) & (found[i] < 0.99)).sum())
    return some


hows = st.builds(
    lambda k1, k2: Reciprocal(k1, min(k1, k2), 0.5), st.sampled_from([2, 3, 4, 5, 8, 12]), st.integers(1, 6)
)


@given(st.integers(0, 10**6), hows, st.integers(1, 2), st.integers(1, 2))
def test_as_the_paper_on_the_pool_of_gallery_and_query(seed: int, how: Reciprocal, parts: int, views: int) -> None:
    space = drawn(seed, 3, 24, parts=parts, views=views)
    rows = np.sort(np.random.default_rng(seed).permutation(24)[:20])
    check(space, how, rows, 15, views - 1)


@given(st.integers(0, 10**6), hows)
def test_of_equals_the_first_in_the_gallery_comes_first_and_the_query_last(seed: int, how: Reciprocal) -> None:
    space = drawn(seed, 3, 20, twins=True)
    gallery = space.gallery[0][0]
    # a query that is one of the photos
    query = np.concatenate([space.query[0][0], gallery[4:6]])
    check(Space(((query,),), ((gallery,),)), how, np.arange(20), 14)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_a_gallery_smaller_than_a_list(size: int) -> None:
    check(drawn(3, 2, size), Reciprocal(12, 4, 0.5), np.arange(size), 12)


def test_values_in_between_abound_and_a_larger_gallery_agrees() -> None:
    assert check(drawn(11, 12, 150), Reciprocal(20, 6, 0.5), np.arange(150), 40) > 100


def test_worked_by_hand() -> None:
    # on a circle, in degrees: the query at 0 and photo 0 at 10 have each other only; photos 1 and 2 at 90 and 100
    angle = np.radians([10, 90, 100])
    gallery = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    space = Space(((np.array([[1, 0]], dtype=np.float32),),), ((gallery,),))
    near, found = quickly(space, 3, Reciprocal(2, 1, 0.5), np.arange(3), np.arange(1))
    # with k1 = 2: lists 0: (q, 1), 1: (2, 0), 2: (1, 0), q: (0, 1). Mutual: q-0, 0-1, 1-2. The halves, k = 1, are
    # q-0 and 1-2: R(0, 1) = {0, q} is in R(q, 2) and adds nothing; R(1, 1) = {1, 2} is half in R(0, 2): not joined
    near_query, between = np.exp(np.cos(np.radians(10)) - 1), np.exp(np.cos(np.radians(80)) - 1)
    of_query = np.array([near_query, 0, 0, 1]) / (1 + near_query)
    of_first = np.array([1, between, 0, near_query]) / (1 + between + near_query)
    of_second = np.array([between, 1, near_query, 0]) / (1 + between + near_query)
    expected = [np.minimum(of_query, v).sum() / np.maximum(of_query, v).sum() for v in (of_first, of_second)]
    assert near.index.tolist() == [[0, 1, 2]]
    assert found[0] == pytest.approx([*expected, 0.0], abs=1e-6)


def test_blocks_of_queries_and_their_order_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    space, rows, how = drawn(5, 30, 60), np.arange(60), Reciprocal(8, 3, 0.5)
    _, whole = quickly(space, 20, how, rows, np.arange(30))
    order = np.random.default_rng(0).permutation(30)
    _, shuffled = quickly(space, 20, how, rows, order)
    assert shuffled.tolist() == whole[order].tolist()
    _, single = quickly(space, 20, how, rows, np.arange(30), memory_mb=0)
    assert single.tolist() == whole.tolist()
    # no other query is in a query's pool
    _, alone = quickly(space, 20, how, rows, np.array([7]))
    assert alone[0].tolist() == whole[7].tolist()


@given(st.integers(0, 10**6), hows)
def test_the_order_of_the_gallery_does_not_matter(seed: int, how: Reciprocal) -> None:
    space = drawn(seed, 4, 30)
    order = np.random.default_rng(seed).permutation(30)
    other = Space(space.query, ((space.gallery[0][0][order],),))
    one, two = (quickly(s, 16, how, np.arange(30), np.arange(4)) for s in (space, other))
    assert order[two[0].index].tolist() == one[0].index.tolist()
    assert two[1] == pytest.approx(one[1], abs=1e-6)
    assert (one[1] >= 0).all()
    assert (one[1] <= 1 + 1e-6).all()


def test_photos_outside_the_gallery_have_no_say() -> None:
    space, rows, how = drawn(6, 5, 40), np.arange(0, 40, 2), Reciprocal(6, 3, 0.5)
    before = quickly(space, 12, how, rows, np.arange(5))
    gallery = space.gallery[0][0].copy()
    gallery[1::2] = np.random.default_rng(1).standard_normal((20, gallery.shape[1]))
    after = quickly(Space(space.query, ((gallery,),)), 12, how, rows, np.arange(5))
    assert after[1].tolist() == before[1].tolist()


def test_what_is_kept_is_linear_in_the_neighbours() -> None:
    k1 = 10
    kept = [len(gallery_lists(drawn(8, 1, m), k1, np.arange(m)).other) / m for m in (200, 800)]
    assert max(kept) < 3 * k1
    assert kept[1] < 1.3 * kept[0]


def test_several_k2_share_one_search() -> None:
    space, rows = drawn(9, 6, 40), np.arange(40)
    lists, near = gallery_lists(space, 8, rows), top_k(space, 20)
    wanted = [Reciprocal(8, k2, 0.5) for k2 in (1, 4)]
    both = reciprocal_similarities(space, near, lists, np.arange(6), rows, wanted)
    for one, found in zip(wanted, both, strict=True):
        assert found.tolist() == quickly(space, 20, one, rows, np.arange(6))[1].tolist()
    assert both[0].tolist() != both[1].tolist()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((1, 1, 0.5), "2 <= k1 <= 64 .*k1=1, k2=1"),
        ((65, 1, 0.5), "k1=65"),
        ((4, 5, 0.5), "1 <= k2 <= k1 .*k2=5"),
        ((4, 0, 0.5), "k2=0"),
        ((4.0, 2, 0.5), "k1=4.0"),
        ((4, True, 0.5), "k2=True"),
        ((4, 2, 0.0), "0 < lambda <= 1 must hold, but got lambda=0.0"),
        ((4, 2, 1.1), "lambda=1.1"),
        ((4, 2, float("nan")), "lambda=nan"),
    ],
)
def test_wrong_values_are_refused(values: tuple[int, int, float], told: str) -> None:
    with pytest.raises(FinblendError, match=told):
        Reciprocal(*values)


def test_lists_that_do_not_fit_are_refused() -> None:
    space, rows = drawn(1, 2, 20), np.arange(20)
    lists = gallery_lists(space, 6, rows)
    with pytest.raises(FinblendError, match=r"lists of 6, 5 neighbours, k1=\[6\]"):
        reciprocal_similarities(space, top_k(space, 5), lists, np.arange(2), rows, [Reciprocal(6, 1, 0.5)])
    with pytest.raises(FinblendError, match=r"k1=\[8\]"):
        reciprocal_similarities(space, top_k(space, 9), lists, np.arange(2), rows, [Reciprocal(8, 1, 0.5)])
