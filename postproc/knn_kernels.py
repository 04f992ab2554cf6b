"""The compiled loops behind exact neighbours."""

from __future__ import annotations

import numba
import numpy as np

LANES = 32
_CHUNK = 512


@numba.njit(cache=True, inline="always")
def _dot(a: np.ndarray, b: np.ndarray, lanes: np.ndarray) -> float:
    """Float64 dot product: 32 running sums, then their sum by halves. One order, which compilers turn into vectors."""
    for j in range(LANES):
        lanes[j] = 0.0
    whole = a.shape[0] - a.shape[0] % LANES
    for i in range(0, whole, LANES):
        for j in range(LANES):
            lanes[j] += np.float64(a[i + j]) * np.float64(b[i + j])
    for i in range(whole, a.shape[0]):
        lanes[i - whole] += np.float64(a[i]) * np.float64(b[i])
    half = LANES // 2
    while half >= 1:
        for j in range(half):
            lanes[j] += lanes[j + half]
        half //= 2
    return float(lanes[0])


@numba.njit(cache=True, parallel=True)
def row_norms(array: np.ndarray) -> np.ndarray:
    """Euclidean norm of each row, float64."""
    n = array.shape[0]
    out = np.empty(n)
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        lanes = np.empty(LANES)
        for i in range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)):
            out[i] = np.sqrt(_dot(array[i], array[i], lanes))
    return out


@numba.njit(cache=True, parallel=True)
def add_cosines(
    query: np.ndarray,
    gallery: np.ndarray,
    query_norm: np.ndarray,
    gallery_norm: np.ndarray,
    pair_query: np.ndarray,
    pair_gallery: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add the cosine of each (query, gallery) pair to `total`."""
    n = pair_query.shape[0]
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        lanes = np.empty(LANES)
        for p in range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)):
            q, g = pair_query[p], pair_gallery[p]
            total[p] += _dot(query[q], gallery[g], lanes) / (query_norm[q] * gallery_norm[g])


@numba.njit(cache=True, parallel=True)
def count_survivors(
    screen: np.ndarray, query_group: np.ndarray, gallery_group: np.ndarray, k: int, slack: float
) -> tuple[np.ndarray, np.ndarray]:
    """Count, for each query, the photos that may be among its k best, and give the value they must reach."""
    n, m = screen.shape
    counts = np.zeros(n, dtype=np.int64)
    cut = np.empty(n, dtype=np.float32)
    for i in numba.prange(n):
        heap = np.full(k, -np.inf, dtype=np.float32)
        for j in range(m):
            value = screen[i, j]
            if value > heap[0] and gallery_group[j] != query_group[i]:
                # replace the smallest of the k best and sink it to its place
                at = 0
                while True:
                    child = 2 * at + 1
                    if child >= k:
                        break
                    if child + 1 < k and heap[child + 1] < heap[child]:
                        child += 1
                    if heap[child] >= value:
                        break
                    heap[at] = heap[child]
                    at = child
                heap[at] = value
        cut[i] = heap[0] - np.float32(2.0 * slack)
        found = 0
        for j in range(m):
            if screen[i, j] >= cut[i] and gallery_group[j] != query_group[i]:
                found += 1
        counts[i] = found
    return counts, cut


@numba.njit(cache=True, parallel=True)
def survivors(
    screen: np.ndarray, query_group: np.ndarray, gallery_group: np.ndarray, cut: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """List the (query, gallery) pairs that reach their query's cut, in gallery order."""
    pair_query = np.empty(ends[-1], dtype=np.int32)
    pair_gallery = np.empty(ends[-1], dtype=np.int32)
    for i in numba.prange(screen.shape[0]):
        at = ends[i]
        for j in range(screen.shape[1]):
            if screen[i, j] >= cut[i] and gallery_group[j] != query_group[i]:
                pair_query[at] = i
                pair_gallery[at] = j
                at += 1
    return pair_query, pair_gallery


@numba.njit(cache=True, parallel=True)
def keep_best(
    exact: np.ndarray, pair_gallery: np.ndarray, ends: np.ndarray, k: int, index: np.ndarray, similarity: np.ndarray
) -> None:
    """Sort each query's survivors and keep the first k."""
    for i in numba.prange(index.shape[0]):
        start, stop = ends[i], ends[i + 1]
        # pairs stand in gallery order, and a stable sort keeps it among equals
        order = np.argsort(-exact[start:stop], kind="mergesort")
        for place in range(min(k, stop - start)):
            index[i, place] = pair_gallery[start + order[place]]
            similarity[i, place] = exact[start + order[place]]
