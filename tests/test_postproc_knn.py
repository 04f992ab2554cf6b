"""Exact neighbours against brute force in float64, in which small whole numbers leave nothing to rounding."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from postproc import NOBODY, Space, top_k
from postproc.knn import pair_similarities


def brute_similarity(space: Space, view: int) -> np.ndarray:
    """(n_query, n_gallery) float32: the best over gallery views of the mean over parts of the cosine."""
    out = np.empty((space.n_query, space.n_gallery), dtype=np.float32)
    for q, g in itertools.product(range(space.n_query), range(space.n_gallery)):
        per_view = []
        for gallery_view in range(len(space.gallery[0])):
            total = 0.0
            for query_part, gallery_part in zip(space.query, space.gallery, strict=True):
                a, b = query_part[view][q].astype(float), gallery_part[gallery_view][g].astype(float)
                total += float(a @ b) / (float(np.sqrt(a @ a)) * float(np.sqrt(b @ b)))
            per_view.append(total)
        out[q, g] = max(per_view) / len(space.gallery)
    return out


def brute_top_k(similarity: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Index and similarity of the k best allowed photos; ties in gallery order; -1 and -inf behind the last."""
    index = np.full((len(similarity), k), NOBODY)
    values = np.full((len(similarity), k), -np.inf, dtype=np.float32)
    for q, row in enumerate(similarity):
        photos = [g for g in range(len(row)) if allowed[q, g]]
        best = sorted(photos, key=lambda g: (-row[g], g))[:k]
        index[q, : len(best)], values[q, : len(best)] = best, row[best]
    return index, values


@st.composite
def spaces(draw: st.DrawFn, least_gallery: int = 1) -> Space:
    """Spaces of small whole numbers: many ties and equal rows, several parts and views, rows of any length."""
    n_query, n_gallery = draw(st.integers(1, 5)), draw(st.integers(least_gallery, 12))
    parts, query_views, gallery_views = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    largest = draw(st.integers(0, 3))

    def photos(n: int, width: int) -> np.ndarray:
        rows = draw(arrays(np.float32, (n, width), elements=st.integers(-largest, largest).map(float)))
        rows[~rows.any(axis=1), 0] = 1
        exponents = draw(arrays(np.int32, n, elements=st.sampled_from([0, 0, 0, -50, 7, 50])))
        return np.ldexp(rows, exponents[:, None]).astype(np.float32)

    query: list[Any] = []
    gallery: list[Any] = []
    for _ in range(parts):
        width = draw(st.integers(1, 11))
        query.append(tuple(photos(n_query, width) for _ in range(query_views)))
        gallery.append(tuple(photos(n_gallery, width) for _ in range(gallery_views)))
    return Space(tuple(query), tuple(gallery))


@given(space=spaces(), k=st.integers(1, 15), data=st.data())
def test_neighbours_equal_brute_force_bit_for_bit(space: Space, k: int, data: st.DataObject) -> None:
    view = data.draw(st.integers(0, space.n_views - 1))
    near = top_k(space, k, view=view)
    everyone = np.ones((space.n_query, space.n_gallery), dtype=bool)
    index, similarity = brute_top_k(brute_similarity(space, view), everyone, k)
    assert near.index.dtype == np.int32
    assert near.similarity.dtype == np.float32
    assert near.index.tolist() == index.tolist()
    assert near.similarity.tolist() == similarity.tolist()


@pytest.mark.parametrize("width", [7, 8, 16, 31, 32, 33, 64, 100])
def test_wide_vectors_and_many_pairs_equal_brute_force_bit_for_bit(width: int) -> None:
    rng = np.random.default_rng(width)
    query, gallery = (rng.integers(-5, 6, (n, width)).astype(np.float32) for n in (45, 30))
    space = Space(((query,),), ((gallery,),))
    near = top_k(space, 30)
    index, similarity = brute_top_k(brute_similarity(space, 0), np.ones((45, 30), dtype=bool), 30)
    assert near.index.tolist() == index.tolist()
    assert near.similarity.tolist() == similarity.tolist()


@given(space=spaces(), k=st.integers(1, 15), data=st.data())
def test_photos_of_the_querys_own_group_are_passed_over(space: Space, k: int, data: st.DataObject) -> None:
    groups = st.integers(0, 2)
    query_group = data.draw(arrays(np.int32, space.n_query, elements=groups))
    gallery_group = data.draw(arrays(np.int32, space.n_gallery, elements=groups))
    rows = data.draw(arrays(np.int64, data.draw(st.integers(0, 4)), elements=st.integers(0, space.n_query - 1)))
    near = top_k(space, k, query_rows=rows, query_group=query_group, gallery_group=gallery_group)
    allowed = query_group[rows][:, None] != gallery_group
    index, similarity = brute_top_k(brute_similarity(space, 0)[rows], allowed, k)
    assert near.index.tolist() == index.tolist()
    assert near.similarity.tolist() == similarity.tolist()


@given(space=spaces(), data=st.data())
def test_similarities_of_given_pairs_equal_brute_force_bit_for_bit(space: Space, data: st.DataObject) -> None:
    view = data.draw(st.integers(0, space.n_views - 1))
    rows = data.draw(arrays(np.int64, data.draw(st.integers(1, 4)), elements=st.integers(0, space.n_query - 1)))
    n = data.draw(st.integers(0, 10))
    pair_query = data.draw(arrays(np.int32, n, elements=st.integers(0, len(rows) - 1)))
    pair_gallery = data.draw(arrays(np.int32, n, elements=st.integers(0, space.n_gallery - 1)))
    got = pair_similarities(space, view, rows, pair_query, pair_gallery)
    assert got.tolist() == brute_similarity(space, view)[rows[pair_query], pair_gallery].tolist()


@pytest.mark.parametrize("k", [1, 3, 7, 9])
def test_equal_photos_come_in_gallery_order(k: int) -> None:
    row = np.array([[0.3, -0.7, 0.2]], dtype=np.float32)
    gallery = np.repeat(row, 7, axis=0)
    near = top_k(Space(((row,),), ((gallery,),)), k)
    assert near.index.tolist() == [[*range(min(k, 7)), *[NOBODY] * max(0, k - 7)]]
    assert np.unique(near.similarity[:, :7]).tolist() == [1.0]


def test_one_photo_is_its_own_nearest_and_the_only_one() -> None:
    photo = np.array([[3.0, 4.0]], dtype=np.float32)
    near = top_k(Space(((photo,),), ((photo,),)), 3)
    assert near.index.tolist() == [[0, NOBODY, NOBODY]]
    assert near.similarity.tolist() == [[1.0, -np.inf, -np.inf]]


def test_an_empty_gallery_and_no_queries_give_empty_lists() -> None:
    some, none = np.ones((2, 4), dtype=np.float32), np.empty((0, 4), dtype=np.float32)
    near = top_k(Space(((some,),), ((none,),)), 2)
    assert near.index.tolist() == [[NOBODY] * 2] * 2
    assert near.similarity.tolist() == [[-np.inf] * 2] * 2
    assert top_k(Space(((none,),), ((some,),)), 2).index.shape == (0, 2)


@given(seed=st.integers(0, 10_000), width=st.sampled_from([3, 64, 200]), k=st.integers(1, 20))
def test_nothing_is_lost_among_photos_that_float32_products_cannot_tell_apart(seed: int, width: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    # 60 photos that differ in the seventh digit: their float32 products with a query are mostly rounding
    gallery = (rng.standard_normal(width) + 3e-7 * rng.standard_normal((60, width))).astype(np.float32)
    query = rng.standard_normal((4, width)).astype(np.float32)
    near = top_k(Space(((query,),), ((gallery,),)), k)
    q, g = query.astype(float), gallery.astype(float)
    exact = (q @ g.T) / (np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(g, axis=1))
    order, values = brute_top_k(exact.astype(np.float32), np.ones(exact.shape, dtype=bool), k)
    # float64 sums in another order may round a similarity to the neighbouring float32, and swap equals with it
    ulp = 2.0**-23 * np.abs(exact).max()
    assert np.abs(near.similarity.astype(float) - values).max() <= ulp
    for row in range(4):
        assert len(set(near.index[row].tolist())) == k
        taken = exact[row, near.index[row]]
        assert np.abs(taken - near.similarity[row]).max() <= ulp
        left = np.setdiff1d(np.arange(60), near.index[row])
        assert taken.min() >= exact[row, left].max() - ulp
    assert (near.index == order).mean() > 0.9
