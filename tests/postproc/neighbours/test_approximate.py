"""Approximate lists: what stands in them is exact, whatever the index found; of all cells they are the exact lists."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knn_reference import nearest, photos, same, similarity

from cv import FinblendError
from postproc import NOBODY, Neighbours, Space
from postproc.neighbours import approximate, lists
from postproc.neighbours.approximate import approximate_answer
from postproc.neighbours.inverted_file import InvertedFile
from postproc.neighbours.lists import NeighbourLists, search_lists

pytest.importorskip("faiss")


def asked(spaces: list[Space], probes: int, spare: int, k: int, k_fused: int, **which: np.ndarray) -> NeighbourLists:
    """Approximate lists with so many probes and candidates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "SPARE", spare)
        patch.setattr(approximate, "_QUERIES", 37)
        patch.setattr(lists, "approximate_answer", lambda *given: approximate_answer(*given, probes))
        views = [(space, space.n_views - 1) for space in spaces]
        return search_lists(views, k, k_fused, neighbours="approximate", **which)


def check(near: Neighbours, table: np.ndarray, allowed: np.ndarray, k: int) -> None:
    """A list of allowed photos, each once, with its exact similarity, the highest first, full where it can be."""
    assert near.index.shape == near.similarity.shape == (len(table), k)
    for row, values, own, may in zip(near.index, near.similarity, table, allowed, strict=True):
        there = row[row != NOBODY]
        assert len(there) == len(set(there.tolist())) == min(k, may.sum())
        assert may[there].all()
        assert np.array_equal(values[: len(there)], own[there])
        assert np.isneginf(values[len(there) :]).all()
        assert (np.diff(values[: len(there)]) <= 0).all()


@settings(max_examples=8)
@given(data=st.data(), n=st.integers(40, 250), k=st.integers(1, 6), k_fused=st.integers(0, 6))
def test_lists_hold_allowed_photos_with_exact_similarities(data: st.DataObject, n: int, k: int, k_fused: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    kind, m = data.draw(st.sampled_from(["whole numbers", "one look", "positive", "any"])), 60
    views = 1 if k_fused else data.draw(st.integers(1, 2))
    spaces = [
        Space(
            tuple((photos(rng, kind, m, width),) * views for width in widths),
            tuple(tuple(photos(rng, kind, n, width) for _ in range(views)) for width in widths),
        )
        for widths in ((5,), (7, 3))
    ]
    group = rng.integers(0, 3, m), rng.integers(0, 3, n)
    classes = rng.integers(0, 3, m), rng.integers(0, 3, n)
    rows = rng.permutation(m)[:50]
    found = asked(
        spaces, data.draw(st.integers(1, 3)), 2, k, k_fused,
        query_rows=rows, query_group=group[0], gallery_group=group[1],
        query_class=classes[0], gallery_class=classes[1],
    )  # fmt: skip
    met = (group[0][:, None] != group[1])[rows]
    of_class = met & (classes[0][:, None] == classes[1])[rows]
    for s, space in enumerate(spaces):
        table = similarity(space, views - 1)[rows]
        check(found.nearest[s], table, met, k)  # type: ignore[arg-type]
        check(found.same_class[s], table, of_class, k)  # type: ignore[arg-type]
    if k_fused:
        both = Space(*(tuple(p for s in spaces for p in getattr(s, side)) for side in ("query", "gallery")))
        check(found.fused, similarity(both)[rows], met, k_fused)  # type: ignore[arg-type]
        check(found.fused_same_class, similarity(both)[rows], of_class, k_fused)  # type: ignore[arg-type]
        assert found.fused is not None
        assert found.fused_by_source is not None
        for s, space in enumerate(spaces):
            table = similarity(space)[rows]
            values = found.fused_by_source[s]
            there = ~np.isnan(values)
            assert np.array_equal(values[there], np.take_along_axis(table, found.fused.index, axis=1)[there])


@pytest.mark.parametrize("seed", range(3))
def test_with_all_cells_lists_are_the_exact_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = Space(((photos(rng, "any", 80, 24),),), ((photos(rng, "any", 900, 24),),))
    found = asked([space], 10_000, 20, 5, 0)
    assert same(found.nearest[0], nearest(similarity(space), np.ones((80, 900), dtype=bool), 5))


def test_wide_photos_are_found_by_their_leading_directions() -> None:
    """500 looks in 20 directions of 600; few cells are looked into, and nearly all the nearest are found."""
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((500, 20))
    mixing = rng.standard_normal((20, 600))
    gallery = (looks[np.arange(4000) % 500] + 0.3 * rng.standard_normal((4000, 20))) @ mixing
    gallery = (gallery + 0.5 * rng.standard_normal(gallery.shape)).astype(np.float32)
    space = Space(((gallery,),), ((gallery,),))
    rows, group = np.arange(0, 4000, 20), np.arange(4000)
    which = {"query_rows": rows, "query_group": group, "gallery_group": group}
    exact = search_lists([(space, 0)], 8, **which).nearest[0]
    found = asked([space], 16, 64, 8, 0, **which).nearest[0]
    assert exact is not None
    assert found is not None
    there = (exact.index[:, :, None] == found.index[:, None]).any(axis=2)
    assert 0.97 < there.mean() <= 1
    assert same(asked([space], 16, 64, 8, 0, **which).nearest[0], found)


def test_a_query_whose_cells_hold_its_own_group_only_is_asked_exactly() -> None:
    rng = np.random.default_rng(0)
    gallery = np.repeat(np.eye(10, dtype=np.float32), 60, axis=0) + 0.01 * rng.standard_normal((600, 10)).astype("f4")
    group = np.repeat(np.arange(10), 60)
    space = Space(((gallery,),), ((gallery,),))
    found = asked([space], 1, 4, 3, 0, query_group=group, gallery_group=group).nearest[0]
    assert same(found, nearest(similarity(space), group[:, None] != group, 3))


def test_a_word_that_is_neither_and_a_missing_faiss_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(((np.eye(3, dtype=np.float32),),), ((np.eye(3, dtype=np.float32),),))
    with pytest.raises(FinblendError, match="neighbours must be one of exact, approximate, but got neighbours='hnsw'"):
        search_lists([(space, 0)], 1, neighbours="hnsw")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        FinblendError, match=r"faiss is needed here and is not installed; pip install 'finblend\[marks\]'"
    ):
        InvertedFile(space)
