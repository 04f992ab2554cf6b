"""Exact neighbours against their slow, literal meaning, to the bit."""

from __future__ import annotations

import knn_reference
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from knn_reference import dots, nearest, photos, same, similarity, spaces

from cv import FinblendError
from postproc import NOBODY, Space, top_k
from postproc.neighbours.search import pair_similarities, similarities

BACKENDS = ["float32", "bfloat16", "int8"]


def everyone(space: Space) -> np.ndarray:
    return np.ones((space.n_query, space.n_gallery), dtype=bool)


@pytest.fixture(params=BACKENDS, scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    if request.param != "float32":
        knn_reference.needs(request.param)
    return str(request.param)


@given(space=spaces(), k=st.integers(1, 50), data=st.data())
def test_neighbours_are_the_literal_ones(backend: str, space: Space, k: int, data: st.DataObject) -> None:
    view = data.draw(st.integers(0, space.n_views - 1))
    near = top_k(space, k, view=view, backend=backend, memory_mb=data.draw(st.sampled_from([0, 1, 64])))
    assert near.index.dtype == np.int32
    assert near.similarity.dtype == np.float32
    assert same(near, nearest(similarity(space, view), everyone(space), k))


@pytest.mark.parametrize("kind", ["whole numbers", "one look", "positive", "any"])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_neighbours_in_a_larger_gallery_are_the_literal_ones(backend: str, kind: str, k: int) -> None:
    rng = np.random.default_rng(k)
    space = Space(((photos(rng, kind, 50, 33),),), ((photos(rng, kind, 3000, 33),),))
    near = top_k(space, k, backend=backend)
    assert same(near, nearest(similarity(space), everyone(space), k))


@given(space=spaces(), k=st.integers(1, 12), data=st.data())
def test_own_group_is_passed_over_and_other_classes_are_not_looked_at(
    backend: str, space: Space, k: int, data: st.DataObject
) -> None:
    some = st.integers(-1, 2)
    of = {
        what: (data.draw(arrays(np.int32, space.n_query, elements=some)), data.draw(arrays(np.int32, n, elements=some)))
        for what, n in (("group", space.n_gallery), ("class", space.n_gallery))
        if data.draw(st.booleans())
    }
    rows = data.draw(arrays(np.int64, data.draw(st.integers(0, 6)), elements=st.integers(0, space.n_query - 1)))
    allowed = everyone(space)
    if "group" in of:
        allowed &= of["group"][0][:, None] != of["group"][1]
    if "class" in of:
        allowed &= of["class"][0][:, None] == of["class"][1]
    given_arrays = {
        f"{side}_{what}": both[s] for what, both in of.items() for s, side in enumerate(("query", "gallery"))
    }
    near = top_k(space, k, query_rows=rows, backend=backend, **given_arrays)
    assert same(near, nearest(similarity(space)[rows], allowed[rows], k))


@pytest.mark.parametrize("groups", [5, 300])
def test_groups_are_passed_over(backend: str, groups: int) -> None:
    """Of large groups and of small ones."""
    rng = np.random.default_rng(groups)
    table = photos(rng, "any", 3000, 20)
    group = rng.integers(0, groups, 3000)
    space = Space(((table,),), ((table,),))
    near = top_k(space, 10, query_group=group, gallery_group=group, backend=backend)
    some = rng.choice(3000, 40, replace=False)
    part = Space(((table[some],),), ((table,),))
    expected = nearest(similarity(part), group[some][:, None] != group, 10)
    assert (near.index[some] == expected.index).all()
    assert (near.similarity[some] == expected.similarity).all()


def test_classes_by_hand() -> None:
    gallery = np.array([[1, 0], [4, 3], [0, 1], [3, 4]], dtype=np.float32)
    query = np.array([[1, 0], [1, 0], [0, 2]], dtype=np.float32)
    near = top_k(
        Space(((query,),), ((gallery,),)),
        2,
        query_class=np.array([7, 8, 9]),
        gallery_class=np.array([8, 7, 7, 7]),
    )
    assert near.index.tolist() == [[1, 3], [0, NOBODY], [NOBODY, NOBODY]]
    assert near.similarity.tolist() == [[np.float32(0.8), np.float32(0.6)], [1, -np.inf], [-np.inf, -np.inf]]


@given(space=spaces(), data=st.data())
def test_similarities_of_given_pairs_are_the_literal_ones(space: Space, data: st.DataObject) -> None:
    view = data.draw(st.integers(0, space.n_views - 1))
    rows = data.draw(arrays(np.int64, data.draw(st.integers(1, 4)), elements=st.integers(0, space.n_query - 1)))
    n = data.draw(st.integers(0, 10))
    pair_query = data.draw(arrays(np.int32, n, elements=st.integers(0, len(rows) - 1)))
    pair_gallery = data.draw(arrays(np.int32, n, elements=st.integers(0, space.n_gallery - 1)))
    got = pair_similarities(space, view, rows, pair_query, pair_gallery)
    assert got.tolist() == similarity(space, view)[rows[pair_query], pair_gallery].tolist()


@given(space=spaces(), data=st.data())
def test_quick_similarities_are_right_to_within_their_slack(space: Space, data: st.DataObject) -> None:
    rows = data.draw(arrays(np.int64, data.draw(st.integers(0, 4)), elements=st.integers(0, space.n_query - 1)))
    some = data.draw(arrays(np.int64, data.draw(st.integers(0, 9)), elements=st.integers(0, space.n_gallery - 1)))
    expected = similarity(space)[rows].astype(float)
    for photos_of, wanted in ((None, expected), (some, expected[:, some])):
        values, slack = similarities(space, 0, rows, photos_of)
        assert values.dtype == np.float32
        assert values.shape == wanted.shape
        assert np.abs(values - wanted).max(initial=0.0) <= slack < 1e-4


@pytest.mark.parametrize("k", [1, 3, 7, 9])
def test_equal_photos_come_in_gallery_order(k: int) -> None:
    row = np.array([[0.3, -0.7, 0.2]], dtype=np.float32)
    gallery = np.repeat(row, 7, axis=0)
    near = top_k(Space(((row,),), ((gallery,),)), k)
    assert near.index.tolist() == [[*range(min(k, 7)), *[NOBODY] * max(0, k - 7)]]
    assert np.unique(near.similarity[:, :7]).tolist() == [1.0]


def test_fifty_thousand_equal_photos(backend: str) -> None:
    gallery = np.broadcast_to(np.array([0.3, -0.7, 0.2], dtype=np.float32), (50_000, 3)).copy()
    gallery[[11, 40_000]] = [0.3, -0.7, 0.1]
    group = np.zeros(50_000, dtype=np.int64)
    group[:3] = 1
    near = top_k(
        Space(((gallery[:500],),), ((gallery,),)),
        100,
        query_group=np.ones(500, dtype=np.int64),
        gallery_group=group,
        backend=backend,
    )
    expected = [*range(3, 11), *range(12, 104)]
    assert near.index[0].tolist() == expected
    assert (np.delete(near.index, 11, axis=0) == expected).all()
    assert near.index[11, :3].tolist() == [11, 40_000, 3]


def test_one_photo_is_its_own_nearest_and_the_only_one() -> None:
    photo = np.array([[3.0, 4.0]], dtype=np.float32)
    near = top_k(Space(((photo,),), ((photo,),)), 3)
    assert near.index.tolist() == [[0, NOBODY, NOBODY]]
    assert near.similarity.tolist() == [[1.0, -np.inf, -np.inf]]


def test_an_empty_gallery_and_no_queries_give_empty_lists(backend: str) -> None:
    some, none = np.ones((2, 4), dtype=np.float32), np.empty((0, 4), dtype=np.float32)
    near = top_k(Space(((some,),), ((none,),)), 2, backend=backend)
    assert near.index.tolist() == [[NOBODY] * 2] * 2
    assert near.similarity.tolist() == [[-np.inf] * 2] * 2
    assert top_k(Space(((none,),), ((some,),)), 2, backend=backend).index.shape == (0, 2)
    assert similarities(Space(((some,),), ((none,),)), 0, np.arange(2))[0].shape == (2, 0)
    own = np.zeros(2, dtype=np.int64)
    near = top_k(Space(((some,),), ((some,),)), 2, query_group=own, gallery_group=own, backend=backend)
    assert near.index.tolist() == [[NOBODY] * 2] * 2


def test_the_literal_product_adds_in_its_order() -> None:
    a = np.zeros((1, 65), dtype=np.float32)
    a[0, [0, 1, 32, 64]] = 2.0**30, 1.0, 2.0**-30, -(2.0**30)
    # lane 0 takes 2^60, then 2^-60, which is lost, then -2^60; lane 1 adds its own afterwards
    assert dots(a, np.abs(a)).tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k >= 1 must hold, but got k=0"),
        ({"k": -3}, "k >= 1 must hold, but got k=-3"),
        ({"backend": "float16"}, "backend must be one of auto, int8, bfloat16, float32, but got 'float16'"),
        ({"query_class": np.zeros(2, int)}, "query_class and gallery_class go together: give both or neither"),
        ({"gallery_group": np.zeros(3, int)}, "query_group and gallery_group go together: give both or neither"),
        (
            {"query_class": np.zeros(3, int), "gallery_class": np.zeros(3, int)},
            r"query_class must be 2 integers, but got int64 of shape \(3,\)",
        ),
        (
            {"query_group": np.zeros(2, int), "gallery_group": np.zeros(3)},
            r"gallery_group must be 3 integers, but got float64 of shape \(3,\)",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict, message: str) -> None:
    space = Space(((np.eye(2, 4, dtype=np.float32),),), ((np.eye(3, 4, dtype=np.float32),),))
    with pytest.raises(FinblendError, match=f"^{message}$"):
        top_k(space, **{"k": 1, **change})
