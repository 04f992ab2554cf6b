"""Many lists in one pass: those that one search after the other gives, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knn_reference import nearest, needs, photos, same, similarity

from cv import FinblendError
from postproc import Space
from postproc.neighbours import engine, screen_base
from postproc.neighbours.lists import search_lists
from postproc.neighbours.screen_base import Factors, Products
from postproc.neighbours.screen_cpu import BFloat16, Float32, Int8
from postproc.neighbours.screen_gpu import OnDevice


def products(name: str) -> list[Products]:
    """One, or two among which measuring decides."""
    if name == "float32":
        return [Float32()]
    torch = pytest.importorskip("torch")
    if name == "int8":
        needs("int8")
        return [Int8(torch)]
    if name == "device":
        return [OnDevice(torch, "cpu")]
    return [BFloat16(torch)] if name == "bfloat16" else [Float32(), BFloat16(torch)]


def together(spaces: list[Space]) -> Space:
    return Space(tuple(p for s in spaces for p in s.query), tuple(p for s in spaces for p in s.gallery))


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8", "device", "measured"])
@settings(max_examples=20)
@given(data=st.data(), n=st.integers(1, 60), k=st.integers(1, 9), k_fused=st.integers(0, 9))
def test_lists_are_the_literal_ones(name: str, data: st.DataObject, n: int, k: int, k_fused: int) -> None:
    """Queries that are the gallery, in tiles and blocks of a few, and others; two sources, one with two parts."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    kind = data.draw(st.sampled_from(["whole numbers", "one look", "positive", "any"]))
    m = data.draw(st.integers(1, 60))
    is_symmetric = data.draw(st.booleans())
    spaces = []
    for widths in ((5,), (7, 3)):
        gallery = [(photos(rng, kind, n, width),) for width in widths]
        query = gallery if is_symmetric else [(photos(rng, kind, m, width),) for width in widths]
        spaces.append(Space(tuple(query), tuple(gallery)))
    m = spaces[0].n_query
    rows = rng.permutation(m)
    group = rng.integers(0, 5, m), rng.integers(0, 5, n)
    if is_symmetric:
        group = group[1], group[1]
    classes = rng.integers(0, 3, m), rng.integers(0, 3, n)
    with pytest.MonkeyPatch.context() as patch:
        chosen = products(name)
        tile = data.draw(st.sampled_from([1, 4, 64]))
        for each in chosen:
            patch.setattr(each, "tile", tile, raising=False)
        spare = data.draw(st.sampled_from([4, 30]))
        patch.setattr(screen_base, "SPARE", (spare, spare))
        patch.setattr(engine, "choose", lambda *_: chosen)
        found = search_lists(
            [(space, 0) for space in spaces],
            k,
            k_fused,
            query_rows=rows,
            query_group=group[0],
            gallery_group=group[1],
            query_class=classes[0],
            gallery_class=classes[1],
            memory_mb=data.draw(st.sampled_from([0, 1, 64])),
        )
    met = (group[0][:, None] != group[1])[rows]
    of_class = met & (classes[0][:, None] == classes[1])[rows]
    for s, space in enumerate(spaces):
        assert same(found.nearest[s], nearest(similarity(space)[rows], met, k))
        assert same(found.same_class[s], nearest(similarity(space)[rows], of_class, k))
    if k_fused:
        table = similarity(together(spaces))[rows]
        assert same(found.fused, nearest(table, met, k_fused))
        assert same(found.fused_same_class, nearest(table, of_class, k_fused))
        for near, values in (
            (found.fused, found.fused_by_source),
            (found.fused_same_class, found.fused_same_class_by_source),
        ):
            for s, space in enumerate(spaces):
                known = ~np.isnan(values[s])
                at = np.broadcast_to(np.arange(m)[:, None], known.shape)[known], near.index[known]
                assert (similarity(space)[rows][at] == values[s][known]).all()


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8"])
def test_views_count_by_the_best_of_the_gallerys(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A source of one view beside one of two, asked in either."""
    rng, chosen = np.random.default_rng(0), products(name)
    monkeypatch.setattr(engine, "choose", lambda *_: chosen)
    queries, gallery = ([photos(rng, "any", n, 6) for _ in range(3)] for n in (20, 70))
    one, two = Space((tuple(queries[:1]),), (tuple(gallery[:1]),)), Space((tuple(queries[1:]),), (tuple(gallery[1:]),))
    found = search_lists([(one, 0), (two, 0), (two, 1)], 3)
    everybody = np.ones((20, 70), dtype=bool)
    for near, (space, view) in zip(found.nearest, [(one, 0), (two, 0), (two, 1)], strict=True):
        assert same(near, nearest(similarity(space, view), everybody, 3))


def test_a_product_of_two_photos_serves_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 photos in tiles of 10, 4 + 3 + 2 + 1 tiles are multiplied, not 16."""
    chosen, tiles = Float32(), list[tuple[int, ...]]()
    multiply = chosen.multiply

    def watched(query: list[Factors], gallery: list[list[Factors]]) -> object:
        tiles.append((len(query[0].bits), len(gallery[0][0].bits)))
        return multiply(query, gallery)

    monkeypatch.setattr(chosen, "multiply", watched)
    monkeypatch.setattr(chosen, "tile", 10)
    monkeypatch.setattr(engine, "choose", lambda *_: [chosen])
    table = photos(np.random.default_rng(0), "any", 40, 6)
    space, me = Space(((table,),), ((table,),)), np.arange(40)
    found = search_lists([(space, 0)], 3, query_group=me, gallery_group=me)
    assert tiles == [(10, 10)] * 10
    assert same(found.nearest[0], nearest(similarity(space), me[:, None] != me, 3))


def test_lists_that_are_known_are_not_searched() -> None:
    table = photos(np.random.default_rng(0), "any", 30, 6)
    space = Space(((table,),), ((table,),))
    found = search_lists([(space, 0), (space, 0)], 3, 2, known=[True, False])
    assert found.nearest[0] is None
    assert found.nearest[1] is not None
    assert found.fused is not None


def test_spaces_of_other_photos_and_views_that_cannot_be_joined_are_refused() -> None:
    rng = np.random.default_rng(0)
    one, other = photos(rng, "any", 30, 6), photos(rng, "any", 20, 6)
    spaces = [Space(((a,),), ((a,),)) for a in (one, other)]
    with pytest.raises(FinblendError, match="same queries and the same gallery"):
        search_lists([(space, 0) for space in spaces], 3)
    with pytest.raises(FinblendError, match="galleries of one view"):
        search_lists([(Space(((one,),), ((one, one),)), 0)], 3, 3)
    with pytest.raises(FinblendError, match="k >= 1"):
        search_lists([(spaces[0], 0)], 0)
