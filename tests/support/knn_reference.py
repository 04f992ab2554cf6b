"""The slow, literal meaning of exact neighbours, and spaces that are hard on a fast search."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from cv import FinblendError
from postproc import NOBODY, Neighbours, Space
from postproc.neighbours.screen_backends import choose


def needs(backend: str) -> None:
    """Skip where a back end of the screen cannot run."""
    pytest.importorskip("torch")
    with contextlib.suppress(FinblendError):
        choose(backend, 1.0)
        return
    pytest.skip(f"this processor has no {backend}")


def dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) float64 products of rows: 32 running sums over the terms, then their sum by halves."""
    wide = -(-a.shape[1] // 32) * 32
    a, b = (np.pad(x.astype(np.float64), ((0, 0), (0, wide - x.shape[1]))) for x in (a, b))
    lanes = np.zeros((len(a), len(b), 32))
    for start in range(0, wide, 32):
        lanes += a[:, None, start : start + 32] * b[None, :, start : start + 32]
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def lengths(a: np.ndarray) -> np.ndarray:
    return np.sqrt(np.array([dots(row[None], row[None])[0, 0] for row in a]))


def similarity(space: Space, view: int = 0) -> np.ndarray:
    """(n_query, n_gallery) float32: the best over gallery views of the mean over parts of the cosine."""
    tables = []
    for v in range(len(space.gallery[0])):
        total = np.zeros((space.n_query, space.n_gallery))
        for query, gallery in zip(space.query, space.gallery, strict=True):
            total += dots(query[view], gallery[v]) / (lengths(query[view])[:, None] * lengths(gallery[v]))
        tables.append(total)
    return (np.max(tables, axis=0) / len(space.gallery)).astype(np.float32)


def nearest(table: np.ndarray, allowed: np.ndarray, k: int) -> Neighbours:
    """The k best allowed photos of each row; ties in gallery order; -1 and -inf behind the last."""
    index = np.full((len(table), k), NOBODY, dtype=np.int32)
    values = np.full((len(table), k), -np.inf, dtype=np.float32)
    for q, row in enumerate(table):
        best = sorted(np.flatnonzero(allowed[q]), key=lambda g: (-row[g], g))[:k]
        index[q, : len(best)], values[q, : len(best)] = best, row[best]
    return Neighbours(index, values)


def same(a: Neighbours, b: Neighbours) -> bool:
    """Equal to the bit."""
    return bool((a.index == b.index).all() and (a.similarity == b.similarity).all())


def photos(rng: np.random.Generator, kind: str, n: int, width: int) -> np.ndarray:
    """(n, width) float32 rows, some of them twice, of very different lengths."""
    if kind == "whole numbers":  # many ties
        rows = rng.integers(-2, 3, (n, width)).astype(float)
    elif kind == "one look":  # what float32 products can't tell apart
        rows = np.ones(width) + 1e-7 * rng.integers(-3, 4, (n, width))
    elif kind == "positive":  # large cosines
        rows = np.abs(rng.standard_normal((n, width))) + 1.0
    else:
        rows = rng.standard_normal((n, width))
    twice = rng.integers(0, max(n, 1), (n, 2))[: n // 3]
    rows[twice[:, 0]] = rows[twice[:, 1]]
    rows[~rows.any(axis=1), 0] = 1
    exponents = rng.choice([0, 0, 0, 0, 5, -50, 50], n)
    return np.ldexp(rows, exponents[:, None]).astype(np.float32)


@st.composite
def spaces(draw: st.DrawFn, largest: int = 40) -> Space:
    """Spaces with several parts and views, with ties, equal rows and rows of any length."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["whole numbers", "one look", "positive", "any"]))
    n_query, n_gallery = draw(st.integers(1, 9)), draw(st.integers(1, largest))
    n_parts, query_views, gallery_views = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    query: list[Any] = []
    gallery: list[Any] = []
    for _ in range(n_parts):
        width = draw(st.integers(1, 70))
        query.append(tuple(photos(rng, kind, n_query, width) for _ in range(query_views)))
        gallery.append(tuple(photos(rng, kind, n_gallery, width) for _ in range(gallery_views)))
    return Space(tuple(query), tuple(gallery))
