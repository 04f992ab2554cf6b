"""Approximate neighbours by faiss, for galleries that are too large to search exactly, with the recall they reach."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.search import NOBODY, Neighbours, Space, norms, pair_similarities, top_k

METHODS = ("hnsw", "ivf")
_EDGES = 32
# faiss wants at least this many points to a cell
_POINTS_A_CELL = 39
_AT_ONCE = 1024


def approximate_top_k(
    space: Space,
    k: int,
    *,
    method: str = "hnsw",
    view: int = 0,
    query_rows: np.ndarray | None = None,
    effort: int | None = None,
    sample: int = 200,
    seed: int = 0,
) -> tuple[Neighbours, float]:
    """Find about the k most similar gallery photos of each query.

    The index is a copy of the gallery (of all its views) and graphs or cells beside it, in memory. Similarities are
    computed exactly; what is missing is missing because the index did not find it.

    Parameters
    ----------
    space : Space
    k : int
        At least 1; may exceed the gallery.
    method : {"hnsw", "ivf"}
        A graph of near photos (Malkov and Yashunin 2018), or cells of which the nearest are searched.
    view : int
        Which query view.
    query_rows : (n,) int array, optional
        Which queries; all by default.
    effort : int, optional
        Photos held while walking the graph (at least k; by default the larger of 2 k and 128), or cells searched (by
        default a sixteenth of them).
    sample : int
        Queries whose exact neighbours measure the recall.
    seed : int
        Chooses the sample and the cells. Graphs are built by several threads at once and differ from run to run.

    Returns
    -------
    neighbours : Neighbours
    recall : float in [0, 1]
        Share of the sample's exact neighbours that were found; a photo as similar as the last of them is as good.

    Raises
    ------
    FinblendError
        If faiss is missing.
    """
    if k < 1:
        raise FinblendError(f"k >= 1 must hold, but got k={k}")
    if method not in METHODS:
        raise FinblendError(f"method must be one of {', '.join(METHODS)}, but got {method!r}")
    try:
        import faiss
    except ImportError as error:
        raise FinblendError(f"approximate neighbours need faiss: pip install faiss-cpu ({error})") from None
    rows = np.arange(space.n_query) if query_rows is None else np.asarray(query_rows)
    found = np.empty((len(rows), 0), dtype=np.int64)
    if space.n_gallery and len(rows):
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(numba.get_num_threads())
        try:
            found = _search(faiss, space, k, method, view, rows, effort, seed)
        finally:
            faiss.omp_set_num_threads(before)
    near = _rescored(space, view, rows, found, k)
    some = np.sort(np.random.default_rng(seed).choice(len(rows), min(sample, len(rows)), replace=False))
    return near, _recall(near.similarity[some], top_k(space, k, view=view, query_rows=rows[some]).similarity)


def _search(
    faiss: Any,
    space: Space,
    k: int,
    method: str,
    view: int,
    rows: np.ndarray,
    effort: int | None,
    seed: int,
) -> np.ndarray:
    """(n, k * views) gallery rows as the index finds them, with repeats where a photo has several views."""
    n_views, m = len(space.gallery[0]), space.n_gallery
    width = sum(part[0].shape[1] for part in space.gallery)
    wanted = min(k, m) * n_views
    if method == "hnsw":
        index = faiss.IndexHNSWFlat(width, _EDGES, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = max(wanted, effort or max(2 * k, 128))
    else:
        n_cells = max(1, min(int(4 * np.sqrt(m * n_views)), m * n_views // _POINTS_A_CELL))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, n_cells, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = min(n_cells, effort or max(1, n_cells // 16))
        index.cp.seed = seed
        some = np.random.default_rng(seed).choice(m, min(m, 64 * n_cells), replace=False)
        index.train(_units([part[0] for part in space.gallery], np.sort(some)))
    for v in range(n_views):
        for start in range(0, m, _AT_ONCE):
            index.add(_units([part[v] for part in space.gallery], np.arange(start, min(m, start + _AT_ONCE))))
    found = np.empty((len(rows), wanted), dtype=np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        block = rows[start : start + _AT_ONCE]
        _, found[start : start + len(block)] = index.search(_units([p[view] for p in space.query], block), wanted)
    return np.where(found < 0, NOBODY, found % m)


def _units(arrays: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """(n, width) float32 unit vectors of the parts, one behind the other."""
    units = [array[rows] / (norms(array, rows) * np.sqrt(len(arrays)))[:, None] for array in arrays]
    return np.ascontiguousarray(np.concatenate(units, axis=1), dtype=np.float32)


def _rescored(space: Space, view: int, rows: np.ndarray, found: np.ndarray, k: int) -> Neighbours:
    """The best k of what was found, by exact similarities."""
    index = np.full((len(rows), k), NOBODY, dtype=np.int32)
    similarity = np.full((len(rows), k), -np.inf, dtype=np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        photo = np.sort(found[start : start + _AT_ONCE], axis=1)
        photo[:, 1:][photo[:, 1:] == photo[:, :-1]] = NOBODY
        value = np.full(photo.shape, -np.inf, dtype=np.float32)
        query, column = np.nonzero(photo != NOBODY)
        pairs = query.astype(np.int32), photo[query, column].astype(np.int32)
        value[query, column] = pair_similarities(space, view, rows[start : start + _AT_ONCE], *pairs)
        # photos stand in gallery order, and a stable sort keeps it among equals
        order = np.argsort(-value, axis=1, kind="stable")[:, :k]
        at = slice(start, start + len(photo)), slice(0, order.shape[1])
        index[at] = np.take_along_axis(photo, order, axis=1)
        similarity[at] = np.take_along_axis(value, order, axis=1)
        index[at][np.isneginf(similarity[at])] = NOBODY
    return Neighbours(index, similarity)


def _recall(found: np.ndarray, exact: np.ndarray) -> float:
    there = ~np.isneginf(exact)
    if not there.any():
        return 1.0
    last = np.where(there, exact, np.inf).min(axis=1, keepdims=True)
    return float(((found >= last) & ~np.isneginf(found)).sum() / there.sum())
