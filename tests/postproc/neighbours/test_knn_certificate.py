"""The screen's bound: it holds for every pair, it is needed, and whatever the sizes nothing is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from knn_reference import dots, lengths, nearest, needs, photos, same, similarity, spaces

from postproc import Space, top_k
from postproc.neighbours import engine, screen, screen_base
from postproc.neighbours.exact import lengths as norms_of
from postproc.neighbours.rounded import Largest, Rounded, as_gallery, padded_width, round_photos
from postproc.neighbours.screen import Column
from postproc.neighbours.screen_backends import choose
from postproc.neighbours.screen_base import Products
from postproc.neighbours.screen_cpu import BFloat16, Float32
from postproc.neighbours.screen_gpu import OnDevice


def products(name: str) -> Products:
    if name == "float32":
        return Float32()
    torch = pytest.importorskip("torch")
    if name == "int8":
        needs(name)
        return choose(name, 1.0)[0]
    return BFloat16(torch) if name == "bfloat16" else OnDevice(torch, "cpu")


def shrunk_sizes(patch: pytest.MonkeyPatch, spare: int, tile: int, name: str) -> None:
    """Blocks of a few photos and buffers that overflow: every path runs on tables that a literal search can check."""
    chosen = products(name)
    patch.setattr(chosen, "tile", tile, raising=False)
    patch.setattr(screen_base, "SPARE", (spare, spare))
    patch.setattr(engine, "choose", lambda *_: [chosen])


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8", "device"])
@given(
    space=spaces(largest=90),
    k=st.integers(1, 9),
    spare=st.sampled_from([2, 8, 30]),
    tile=st.sampled_from([1, 5, 64, 70]),
    n_groups=st.sampled_from([1, 3]),
)
def test_no_size_of_block_or_buffer_changes_the_answer(
    name: str, space: Space, k: int, spare: int, tile: int, n_groups: int
) -> None:
    query_group = np.arange(space.n_query) % n_groups
    gallery_group = np.arange(space.n_gallery) % n_groups + (n_groups == 1)
    with pytest.MonkeyPatch.context() as patch:
        shrunk_sizes(patch, spare, tile, name)
        near = top_k(space, k, query_group=query_group, gallery_group=gallery_group)
    assert same(near, nearest(similarity(space), query_group[:, None] != gallery_group, k))


def screened(space: Space, chosen: Products, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """(n_query, n_gallery) distances of sums from what they stand for, and the (n_query,) bounds on them."""
    rows, some = np.arange(space.n_query), np.arange(space.n_gallery, dtype=np.int32)
    column = Column(space, 0, *norms_of(space, 0, rows))
    centre = column.centre(some)
    if not centred:
        centre = [np.zeros_like(c) for c in centre]
    shape = padded_width(column.width, chosen.kind)
    bits = [np.zeros((n, shape), dtype=chosen.kind) for n in (len(rows), len(some))]
    arrays = [[part[0] for part in side] for side in (space.query, space.gallery)]
    norms = [column.query_norm, [part[0] for part in column.gallery_norm]]
    query, gallery = (
        round_photos(a, n, r, centre, chosen.dropped_bits, b)
        for a, n, r, b in zip(arrays, norms, (rows, some), bits, strict=True)
    )
    largest = Largest()
    largest.take(gallery)
    window = query.window(chosen, largest)
    as_gallery(gallery.factors, column.width)
    constant = sum(float(c.astype(float) @ c.astype(float)) for c in centre)
    # exact products of the rounded numbers: what summing in float32 adds is bounded apart
    values = [(a.astype(np.int32) << chosen.dropped_bits).view(np.float32).astype(float) for a in bits]
    added: Any = 0.0
    if chosen.kind is np.int8:
        values = [
            a.astype(float) * f.step[:, None] for a, f in zip(bits, (query.factors, gallery.factors), strict=True)
        ]
        added = query.factors.constant[:, None].astype(float) + gallery.factors.constant
    exact = sum(
        dots(q[0], g[0]) / (lengths(q[0])[:, None] * lengths(g[0]))
        for q, g in zip(space.query, space.gallery, strict=True)
    ) / len(space.query)
    return np.abs(values[0] @ values[1].T + added - (exact - constant)), window


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8"])
@given(space=spaces(), centred=st.booleans())
def test_the_bound_holds_for_every_pair(name: str, space: Space, centred: bool) -> None:
    space = Space(space.query, tuple(part[:1] for part in space.gallery))
    distance, window = screened(space, products(name), centred)
    assert (distance <= window[:, None]).all()


def reversed_by_rounding(rng: np.random.Generator) -> Space:
    """A query and two photos of which bfloat16 prefers the first, though the second is nearer.

    All numbers lie just off the middle between two bfloat16 numbers. Those of the query and of the nearer photo are
    rounded towards zero, those of the other away from it: the errors of 900 numbers line up, as the bound allows for.
    """
    signs = rng.choice([-1.0, 1.0], 900)
    nearer, other = signs * (1 + 2.0**-8 - 2.0**-16), signs * (1 + 2.0**-8 + 2.0**-16)
    other[0] *= -1
    # negatives make the centre zero, and numbers of their own make all rows unit vectors
    rows = np.stack([nearer, other, nearer, -other, -nearer]) / 32
    rest = np.sqrt(1 - (rows**2).sum(axis=1))
    own = np.stack([rest * [1, 0, 0, 0, 0], rest * [0, 1, 1, -1, -1]], axis=1)
    rows = np.concatenate([rows, own], axis=1).astype(np.float32)
    return Space(((rows[:1],),), ((rows[1:],),))


def test_a_photo_that_bfloat16_prefers_is_not_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    space = reversed_by_rounding(np.random.default_rng(0))
    table = similarity(space)
    assert nearest(table, np.ones_like(table, dtype=bool), 1).index.tolist() == [[1]]
    rounded = [np.float32(a[0][0]) for a in (space.query, space.gallery)]
    torch = pytest.importorskip("torch")
    half = [torch.from_numpy(a).bfloat16().double() for a in rounded]
    assert int((half[0] @ half[1].T).argmax()) == 0
    assert top_k(space, 1, backend="bfloat16").index.tolist() == [[1]]
    # the planted fault: a tenth of the bound, and no allowance for the product's own rounding
    window = Rounded.window
    monkeypatch.setattr(Rounded, "window", lambda *args: 0.1 * window(*args))
    monkeypatch.setattr(BFloat16, "rounding", 0.0)
    assert top_k(space, 1, backend="bfloat16").index.tolist() == [[0]]


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8"])
def test_without_the_bound_neighbours_are_lost(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Photos of one look, or as many queries as have near ties: the screen alone ranks them by chance."""
    rng, kind = np.random.default_rng(3), "one look" if name == "float32" else "any"
    space = Space(((photos(rng, kind, 200, 50),),), ((photos(rng, kind, 400, 50),),))
    expected = nearest(similarity(space), np.ones((200, 400), dtype=bool), 5)
    chosen: Any = products(name)
    monkeypatch.setattr(engine, "choose", lambda *_: [chosen])
    assert same(top_k(space, 5), expected)
    monkeypatch.setattr(Rounded, "window", lambda rounded, *_: np.zeros_like(rounded.length))
    monkeypatch.setattr(Rounded, "most", lambda rounded, *_: np.zeros_like(rounded.length))
    monkeypatch.setattr(type(chosen), "rounding", 0.0)
    assert not same(top_k(space, 5), expected)


def test_large_cosines_do_not_widen_the_window() -> None:
    """Of positive features, where all cosines are large, the screen leaves few more than of others."""
    rng = np.random.default_rng(0)
    base = np.abs(rng.standard_normal(256)) + 1
    space = Space(
        *[((np.maximum(base + 0.2 * rng.standard_normal((n, 256)), 0).astype(np.float32),),) for n in (30, 500)]
    )
    assert similarity(space).min() > 0.9
    centred, plain = (screened(space, products("bfloat16"), c)[1].max() for c in (True, False))
    assert centred < 0.4 * plain


def look_alikes_then_others(seed: int) -> Space:
    """A gallery whose last photos are far longer, less its centre, than all before: so are their errors."""
    rng = np.random.default_rng(seed)
    look = rng.normal(size=16)
    alike = look / np.linalg.norm(look) + 0.05 / 4 * rng.normal(size=(8000, 16))
    rows = np.concatenate([alike, rng.normal(size=(60, 16))])
    query = rng.normal(size=(1500, 16))
    return Space(*(((a.astype(np.float32),),) for a in (query, rows)))


def test_photos_that_come_late_are_allowed_their_larger_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts that earlier photos gave fall by what the window has grown, whenever it grows."""
    space = look_alikes_then_others(0)
    expected = top_k(space, 64, backend="float32")
    chosen, grown = products("bfloat16"), list[np.ndarray]()
    lower = screen.lower_cuts

    def watched(by: np.ndarray, *cuts: np.ndarray) -> None:
        before = [cut.copy() for cut in cuts]
        lower(by, *cuts)
        grown.append(by.copy())
        for old, new in zip(before, cuts, strict=True):
            inside = np.isfinite(old) & (by > 0)
            assert (new[inside].astype(float) <= old[inside].astype(float) - by[inside]).all()
            assert (new[~inside] == old[~inside]).all()

    monkeypatch.setattr(chosen, "tile", 512)
    monkeypatch.setattr(engine, "choose", lambda *_: [chosen])
    monkeypatch.setattr(screen, "lower_cuts", watched)
    assert same(top_k(space, 64), expected)
    # the photos of the last tile, which are the longest, widen the window that those before them gave
    assert max(by.min() for by in grown[1:]) > 1e-3 > grown[0].max()
