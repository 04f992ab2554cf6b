"""The answer depends on neither memory nor threads, agrees with faiss, and vectors without direction are refused."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np
import pytest

from cv import FinblendError
from postproc import Neighbours, Space, top_k
from postproc.neighbours.search import norms


def same(a: Neighbours, b: Neighbours) -> bool:
    """Equal to the bit."""
    return bool((a.index == b.index).all() and (a.similarity == b.similarity).all())


@pytest.fixture
def two_parts() -> Space:
    """150 queries and 400 gallery photos, two parts of different widths, two views, ties among the gallery."""
    rng = np.random.default_rng(5)

    def photos(n: int, width: int) -> np.ndarray:
        rows = rng.standard_normal((n, width)).astype(np.float32)
        rows[n // 2 : n // 2 + 20] = rows[:20]
        return rows

    widths = (17, 40)
    return Space(
        tuple((photos(150, w), photos(150, w)) for w in widths), tuple((photos(400, w), photos(400, w)) for w in widths)
    )


@pytest.fixture
def threads() -> Iterator[None]:
    """Put the number of threads back afterwards."""
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("memory_mb", [0, 1, 4096])
def test_the_answer_does_not_depend_on_memory(two_parts: Space, memory_mb: int) -> None:
    steps: list[int] = []
    near = top_k(two_parts, 9, view=1, memory_mb=memory_mb, progress=steps.append)
    assert sum(steps) == 150
    assert min(steps) > 0
    assert same(near, top_k(two_parts, 9, view=1))


def test_the_answer_does_not_depend_on_threads(two_parts: Space, threads: None) -> None:
    groups = np.random.default_rng(0).integers(0, 3, 400).astype(np.int32)
    answers = []
    for n in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(n)
        answers.append(top_k(two_parts, 9, query_group=groups[:150].copy(), gallery_group=groups))
    assert all(same(answer, answers[0]) for answer in answers)
    assert (answers[0].similarity[:, 0] > answers[0].similarity[:, 8]).all()


def test_a_query_alone_gets_the_answer_it_gets_among_others(two_parts: Space) -> None:
    together = top_k(two_parts, 9)
    for row in (0, 77, 149):
        alone = top_k(two_parts, 9, query_rows=np.array([row]))
        assert alone.index[0].tolist() == together.index[row].tolist()
        assert alone.similarity[0].tolist() == together.similarity[row].tolist()


def test_arrays_need_not_lie_in_one_piece(two_parts: Space) -> None:
    strided = Space(
        tuple(tuple(np.asfortranarray(a) for a in part) for part in two_parts.query),
        tuple(tuple(np.repeat(a, 2, axis=0)[::2] for a in part) for part in two_parts.gallery),
    )
    assert same(top_k(strided, 9), top_k(two_parts, 9))


@pytest.mark.parametrize(("width", "seed"), [(8, 0), (64, 1), (257, 2)])
def test_neighbours_are_those_of_faiss_up_to_ties(width: int, seed: int) -> None:
    faiss = pytest.importorskip("faiss")
    rng = np.random.default_rng(seed)
    query = (rng.standard_normal((60, width)) * rng.uniform(0.1, 10, (60, 1))).astype(np.float32)
    gallery = (rng.standard_normal((700, width)) * rng.uniform(0.1, 10, (700, 1))).astype(np.float32)
    index = faiss.IndexFlatIP(width)
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (query, gallery)]
    index.add(unit[1])
    similarity, photo = index.search(unit[0], 12)
    near = top_k(Space(((query,),), ((gallery,),)), 12)
    assert np.abs(near.similarity - similarity).max() < 1e-6
    differing = near.index != photo
    assert differing.mean() < 0.01
    for row in np.flatnonzero(differing.any(axis=1)):
        # another photo in a place must score as much in both answers
        both = unit[0][row].astype(float) @ unit[1][[near.index[row], photo[row]]].astype(float).transpose(0, 2, 1)
        assert np.abs(both[0] - both[1]).max() < 1e-6


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, 1e-30, 1e30])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_vectors_without_direction_are_refused_by_row(bad: float, side: str) -> None:
    good = np.eye(4, dtype=np.float32)
    broken = good.copy()
    broken[2] = bad
    space = Space(((broken,),), ((good,),)) if side == "query" else Space(((good,),), ((broken,),))
    with pytest.raises(FinblendError, match=r"embedding 2: .* < norm < .* must hold, but got norm="):
        top_k(space, 1)


def test_norms_are_those_of_the_rows() -> None:
    rows = np.array([[3, 4], [0, -2], [1e-9, 0]], dtype=np.float32)
    assert norms(rows).tolist() == pytest.approx([5, 2, 1e-9])


@pytest.mark.parametrize("k", [0, -3])
def test_fewer_than_one_neighbour_is_refused(two_parts: Space, k: int) -> None:
    with pytest.raises(FinblendError, match=f"k >= 1 must hold, but got k={k}"):
        top_k(two_parts, k)


def test_spaces_whose_parts_do_not_fit_are_refused() -> None:
    a, b, wide = (np.ones(shape, dtype=np.float32) for shape in ((3, 4), (2, 4), (3, 5)))
    for query, gallery in (((), ()), (((a,),), ((a,), (a,)))):
        with pytest.raises(FinblendError, match=f"got {len(query)} and {len(gallery)}"):
            Space(query, gallery)
    for query in (((a, b),), ((a,), (b,)), ((a,), (a, a))):
        with pytest.raises(FinblendError, match="must have the same photos"):
            Space(query, tuple((a,) for _ in query))
    with pytest.raises(FinblendError, match=r"widths differ within a space: \[4, 5\]"):
        Space(((a,),), ((wide,),))
    assert Space(((a,), (wide,)), ((b,), (np.ones((2, 5), dtype=np.float32),))).n_gallery == 2
