"""Query expansion and database augmentation against the formula written out photo by photo."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_spaces import drawn
from hypothesis import given
from hypothesis import strategies as st
from scenes import one_thread  # noqa: F401 - a fixture

from cv import FinblendError
from postproc import NOBODY, Neighbours, Space, top_k
from postproc.transforms.expansion import Expansion, augment_gallery, expand_queries, gallery_neighbours


def unit(vector: np.ndarray) -> np.ndarray:
    """Of length 1, float64."""
    wide = np.asarray(vector, dtype=float)
    return np.asarray(wide / np.linalg.norm(wide))


def cosine(space: Space, queries: bool, i: int, view: int, photo: int, seen: int) -> float:
    """Mean over parts of the cosine of a query, or a gallery photo, in one view with a gallery photo in another."""
    side = space.query if queries else space.gallery
    pairs = zip(side, space.gallery, strict=True)
    return float(np.mean([unit(own[view][i]) @ unit(other[seen][photo]) for own, other in pairs]))


def slowly(space: Space, queries: bool, i: int, view: int, among: list[int], how: Expansion) -> list[np.ndarray]:
    """One vector a part, from the formula: the sum of the k best, each in its best view."""
    n_views = len(space.gallery[0])
    best = {g: max((cosine(space, queries, i, view, g, seen), -seen) for seen in range(n_views)) for g in among}
    order = sorted(among, key=lambda g: -best[g][0])[: how.k]
    side = space.query if queries else space.gallery
    out = []
    for own, other in zip(side, space.gallery, strict=True):
        total = unit(own[view][i])
        for g in order:
            similarity, seen = best[g]
            total = total + max(similarity, 0.0) ** how.alpha * unit(other[-seen][g])
        out.append(unit(total))
    return out


scenes = st.builds(
    lambda seed, parts, views: drawn(seed, 5, 9, parts=parts, views=views),
    st.integers(0, 10**6),
    st.integers(1, 2),
    st.integers(1, 2),
)
hows = st.builds(Expansion, st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0, 3.0]))


@given(scenes, hows)
def test_queries_move_as_the_formula_says(space: Space, how: Expansion) -> None:
    rows, groups = np.array([3, 0, 4]), np.array([1, 0, 1, 0, 0, 1, 0, 0, 0])
    near = [
        top_k(space, how.k + 1, view=v, query_rows=rows, query_group=np.ones(5, int), gallery_group=groups)
        for v in range(space.n_views)
    ]
    moved = expand_queries(space, near, rows, how)
    assert moved.gallery is space.gallery
    among = np.flatnonzero(groups == 0).tolist()
    for v in range(space.n_views):
        for i in rows:
            expected = slowly(space, True, i, v, among, how)
            for part, vector in zip(moved.query, expected, strict=True):
                assert part[v][i] == pytest.approx(vector, abs=1e-6)
        for i in (1, 2):
            for part, before in zip(moved.query, space.query, strict=True):
                assert part[v][i].tolist() == before[v][i].tolist()


@given(scenes, hows)
def test_the_gallery_moves_as_the_formula_says_and_never_by_a_photo_outside_it(space: Space, how: Expansion) -> None:
    rows = np.array([0, 1, 3, 4, 6, 7, 8])
    near = [gallery_neighbours(space, how.k, rows, v) for v in range(space.n_views)]
    moved = augment_gallery(space, near, rows, how)
    assert moved.query is space.query
    for v in range(space.n_views):
        for i in rows:
            expected = slowly(space, False, i, v, [g for g in rows.tolist() if g != i], how)
            for part, vector in zip(moved.gallery, expected, strict=True):
                assert part[v][i] == pytest.approx(vector, abs=1e-6)


def test_worked_by_hand() -> None:
    gallery = np.array([[1, 0], [0, 3], [-1, 0]], dtype=np.float32)
    space = Space(((np.array([[3, 4]], dtype=np.float32),),), ((gallery,),))
    # nearest is (0, 1) with 0.8, then (1, 0) with 0.6: (0.6, 0.8) + 0.64 (0, 1) + 0.36 (1, 0) = (0.96, 1.44)
    moved = expand_queries(space, [top_k(space, 2)], np.array([0]), Expansion(2, 2.0))
    assert moved.query[0][0][0] == pytest.approx(np.array([2, 3]) / np.sqrt(13))
    # with alpha 0 everybody weighs 1: (0.6, 0.8) + (0, 1) + (1, 0) + (-1, 0)
    every = expand_queries(space, [top_k(space, 3)], np.array([0]), Expansion(3, 0.0))
    assert every.query[0][0][0] == pytest.approx(unit(np.array([0.6, 1.8])))


def test_a_vector_that_its_neighbours_cancel_stays() -> None:
    space = Space(((np.array([[2.0, 0.0]], dtype=np.float32),),), ((np.array([[-1.0, 0.0]], dtype=np.float32),),))
    moved = expand_queries(space, [top_k(space, 1)], np.array([0]), Expansion(1, 0.0))
    assert moved.query[0][0].tolist() == [[1.0, 0.0]]


def test_fewer_photos_than_neighbours_asked_for() -> None:
    space = drawn(3, 2, 3)
    near = top_k(space, 5)
    assert (near.index[:, 3:] == NOBODY).all()
    moved = expand_queries(space, [near], np.arange(2), Expansion(5, 1.0))
    for i in range(2):
        assert moved.query[0][0][i] == pytest.approx(
            slowly(space, True, i, 0, [0, 1, 2], Expansion(5, 1.0))[0], abs=1e-6
        )


@pytest.mark.parametrize("twins", [False, True])
def test_gallery_neighbours_are_all_others_in_order(twins: bool) -> None:
    space = drawn(5, 1, 12, twins=twins)
    rows = np.array([0, 1, 2, 4, 5, 7, 8, 9, 11])
    found = gallery_neighbours(space, 4, rows)
    for i, row in enumerate(rows.tolist()):
        others = [g for g in rows.tolist() if g != row]
        values = {g: np.float32(cosine(space, False, row, 0, g, 0)) for g in others}
        # the photo itself is as near as its twins, and is passed over wherever it stands among them
        assert row not in found.index[i]
        assert found.similarity[i] == pytest.approx(sorted(values.values(), reverse=True)[:4], abs=1e-6)
        assert [values[g] for g in found.index[i]] == pytest.approx(found.similarity[i], abs=1e-6)
        assert len(set(found.index[i].tolist())) == 4


@given(st.integers(0, 10**6), hows)
def test_the_order_of_the_gallery_and_the_lengths_of_vectors_do_not_matter(seed: int, how: Expansion) -> None:
    space = drawn(seed, 3, 8)
    order = np.random.default_rng(seed).permutation(8)
    gallery = space.gallery[0][0]
    length = np.random.default_rng(seed).uniform(0.1, 9.0, (8, 1)).astype(np.float32)
    other = Space(space.query, (((gallery * length)[order],),))
    queries = [expand_queries(s, [top_k(s, how.k)], np.arange(3), how).query[0][0] for s in (space, other)]
    assert queries[1] == pytest.approx(queries[0], abs=1e-5)
    augmented = [
        augment_gallery(s, [gallery_neighbours(s, how.k, np.arange(8))], np.arange(8), how).gallery[0][0]
        for s in (space, other)
    ]
    assert augmented[1] == pytest.approx(augmented[0][order], abs=1e-5)


def test_many_photos_go_block_by_block_into_given_arrays() -> None:
    space = drawn(7, 2500, 30, parts=2)
    made: dict[tuple[int, int], np.ndarray] = {}

    def allocate(shape: tuple[int, int], part: int, view: int) -> np.ndarray:
        made[part, view] = np.zeros(shape, dtype=np.float32)
        return made[part, view]

    rows = np.arange(10, 2490)
    how = Expansion(3, 2.0)
    moved = expand_queries(space, [top_k(space, 3, query_rows=rows)], rows, how, allocate)
    assert all(moved.query[p][v] is array for (p, v), array in made.items())
    assert set(made) == {(0, 0), (1, 0)}
    for i in (10, 1023, 1034, 2489):
        for part, vector in zip(moved.query, slowly(space, True, i, 0, list(range(30)), how), strict=True):
            assert part[0][i] == pytest.approx(vector, abs=1e-6)


@pytest.mark.parametrize(
    ("k", "alpha", "told"),
    [
        (0, 1.0, "1 <= k <= 64 must hold, but got k=0"),
        (65, 1.0, "k=65"),
        (2.5, 1.0, "k=2.5"),
        (True, 1.0, "k=True"),
        (2, -1.0, "0 <= alpha <= 10 must hold, but got alpha=-1.0"),
        (2, float("nan"), "alpha=nan"),
        (2, 11.0, "alpha=11"),
    ],
)
def test_wrong_values_are_refused(k: int, alpha: float, told: str) -> None:
    with pytest.raises(FinblendError, match=told):
        Expansion(k, alpha)


def test_neighbours_that_do_not_suffice_are_refused() -> None:
    space = drawn(1, 2, 5, views=2)
    near = top_k(space, 2)
    with pytest.raises(FinblendError, match="2 views, got 1"):
        expand_queries(space, [near], np.arange(2), Expansion(2, 1.0))
    with pytest.raises(FinblendError, match="3 neighbours are needed, got 2"):
        expand_queries(space, [near, Neighbours(near.index, near.similarity)], np.arange(2), Expansion(3, 1.0))
