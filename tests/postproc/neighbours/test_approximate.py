"""Approximate neighbours: exact similarities, honest recall."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from knn_reference import same, similarity

from cv import FinblendError
from postproc import NOBODY, Space, top_k
from postproc.neighbours import approximate
from postproc.neighbours.approximate import approximate_top_k


def space(n_gallery: int = 3000, width: int = 24, gallery_views: int = 1) -> Space:
    rng = np.random.default_rng(0)

    def photos(n: int, d: int) -> np.ndarray:
        return (rng.standard_normal((n, d)) * rng.uniform(0.1, 10, (n, 1))).astype(np.float32)

    widths = (width, 7)
    return Space(
        tuple((photos(120, d),) for d in widths),
        tuple(tuple(photos(n_gallery, d) for _ in range(gallery_views)) for d in widths),
    )


@pytest.mark.parametrize("method", ["hnsw", "ivf"])
@pytest.mark.parametrize("gallery_views", [1, 2])
def test_what_is_found_has_exact_similarities_and_the_recall_is_true(method: str, gallery_views: int) -> None:
    pytest.importorskip("faiss")
    here = space(gallery_views=gallery_views)
    near, recall = approximate_top_k(here, 10, method=method, sample=120)
    table, exact = similarity(here), top_k(here, 10)
    assert near.index.shape == near.similarity.shape == (120, 10)
    found = 0
    for q in range(120):
        there = near.index[q][near.index[q] != NOBODY]
        assert near.similarity[q, : len(there)].tolist() == table[q, there].tolist()
        assert [(-s, i) for s, i in zip(table[q, there], there, strict=True)] == sorted(
            (-s, i) for s, i in zip(table[q, there], there, strict=True)
        )
        found += len(set(there) & set(exact.index[q]))
    assert recall == pytest.approx(found / 1200)
    assert 0.3 < recall <= 1


@pytest.mark.parametrize("method", ["hnsw", "ivf"])
def test_more_effort_finds_more(method: str) -> None:
    pytest.importorskip("faiss")
    little, much = (approximate_top_k(space(), 10, method=method, effort=effort)[1] for effort in (1, 3000))
    assert little < 0.99
    assert much > 0.999
    assert much > little


def test_the_same_seed_gives_the_same_cells_and_sample() -> None:
    pytest.importorskip("faiss")
    runs = [approximate_top_k(space(), 10, method="ivf", effort=2, sample=30, seed=s) for s in (1, 1, 2)]
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not same(runs[0][0], runs[2][0])


@pytest.mark.parametrize("method", ["hnsw", "ivf"])
@pytest.mark.parametrize("n_gallery", [0, 1, 5])
def test_k_may_exceed_the_gallery(method: str, n_gallery: int) -> None:
    pytest.importorskip("faiss")
    here = space(n_gallery, gallery_views=2)
    near, recall = approximate_top_k(here, 8, method=method)
    assert same(near, top_k(here, 8))
    assert recall == 1


def test_chosen_queries_are_searched() -> None:
    pytest.importorskip("faiss")
    rows = np.array([7, 3, 7])
    near, _ = approximate_top_k(space(), 4, query_rows=rows, effort=3000)
    assert same(near, top_k(space(), 4, query_rows=rows))


def test_equal_photos_do_not_count_as_missed() -> None:
    exact = np.array([[0.9, 0.5, 0.5], [0.9, -np.inf, -np.inf]], dtype=np.float32)
    assert approximate._recall(exact, exact) == 1
    assert approximate._recall(np.array([[0.9, 0.5, 0.4], [-np.inf] * 3], dtype=np.float32), exact) == 0.5


def test_without_faiss_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "faiss":
            raise ImportError("No module named 'faiss'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(FinblendError, match=r"^approximate neighbours need faiss: pip install faiss-cpu \("):
        approximate_top_k(space(), 3)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(FinblendError, match="method must be one of hnsw, ivf, but got 'flat'"):
        approximate_top_k(space(), 3, method="flat")
    with pytest.raises(FinblendError, match="k >= 1 must hold, but got k=0"):
        approximate_top_k(space(), 0)
