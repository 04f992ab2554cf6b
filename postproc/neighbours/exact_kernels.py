"""Compiled exact similarities. Their order of summation is what a similarity means; everything else only chooses pairs.

The product of two float32 numbers is exact in float64, so that a compiler may fuse it with the addition or not.
"""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel

LANES = 32
_CHUNK = 512


@kernel(inline="always")
def _dot(a: np.ndarray, b: np.ndarray, lanes: np.ndarray) -> float:
    """Float64 dot product: 32 running sums, then their sum by halves. One order, which compilers turn into vectors."""
    for j in range(LANES):
        lanes[j] = 0.0
    # four times as many numbers at a time as there are sums: these are not written and read again after each product
    long = a.shape[0] - a.shape[0] % (4 * LANES)
    for i in range(0, long, 4 * LANES):
        for j in range(LANES):
            total = lanes[j]
            total += np.float64(a[i + j]) * np.float64(b[i + j])
            total += np.float64(a[i + j + LANES]) * np.float64(b[i + j + LANES])
            total += np.float64(a[i + j + 2 * LANES]) * np.float64(b[i + j + 2 * LANES])
            total += np.float64(a[i + j + 3 * LANES]) * np.float64(b[i + j + 3 * LANES])
            lanes[j] = total
    whole = a.shape[0] - a.shape[0] % LANES
    for i in range(long, whole, LANES):
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


@kernel(parallel=True, fastmath={"contract"})
def row_norms(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Euclidean norm of each of the rows, float64."""
    n = rows.shape[0]
    out = np.empty(n)
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        lanes = np.empty(LANES)
        for i in range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)):
            row = array[rows[i]]
            out[i] = np.sqrt(_dot(row, row, lanes))
    return out


@kernel(parallel=True, fastmath={"contract"})
def add_cosines(
    query: np.ndarray,
    gallery: np.ndarray,
    query_rows: np.ndarray,
    query_norm: np.ndarray,
    gallery_norm: np.ndarray,
    pair_query: np.ndarray,
    pair_gallery: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add the cosine of each pair to `total`; `pair_query` and `query_norm` count in `query_rows`.

    Quickest where pairs of one query follow each other: it is made float64 once.
    """
    n = pair_query.shape[0]
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        lanes = np.empty(LANES)
        wide = np.empty(query.shape[1])
        widened = -1
        for p in range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)):
            q, g = pair_query[p], pair_gallery[p]
            if q != widened:
                wide[:] = query[query_rows[q]]
                widened = q
            total[p] += _dot(wide, gallery[g], lanes) / (query_norm[q] * gallery_norm[g])


@kernel(parallel=True, fastmath={"contract"})
def add_cosine_table(
    query: np.ndarray,
    gallery: np.ndarray,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    query_norm: np.ndarray,
    gallery_norm: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add the cosine of every query and gallery row to the table `total`; `gallery_norm` counts in the gallery."""
    for g in numba.prange(gallery_rows.shape[0]):
        lanes = np.empty(LANES)
        row = gallery_rows[g]
        for q in range(query_rows.shape[0]):
            cosine = _dot(query[query_rows[q]], gallery[row], lanes) / (query_norm[q] * gallery_norm[row])
            total[q, g] += cosine


@kernel(parallel=True)
def keep_best_of_table(
    table: np.ndarray,
    twin: np.ndarray,
    gallery_rows: np.ndarray,
    query_group: np.ndarray,
    gallery_group: np.ndarray,
    k: int,
    index: np.ndarray,
    similarity: np.ndarray,
    to: np.ndarray,
) -> None:
    """Find the k best photos of each query in gallery order; photo j's similarity stands in column `twin[j]`.

    A heap of k with the worst on top: of equals, the last in gallery order is the worst. Photos come in gallery order,
    so that a later one never displaces an equal.
    """
    for i in numba.prange(table.shape[0]):
        value = np.full(k, -np.inf, dtype=np.float32)
        photo = np.full(k, -1, dtype=np.int64)
        for j in range(twin.shape[0]):
            new = table[i, twin[j]]
            row = gallery_rows[j]
            if new > value[0] and gallery_group[row] != query_group[i]:
                at = 0
                while True:
                    child = 2 * at + 1
                    if child >= k:
                        break
                    other = child + 1
                    if other < k and (
                        value[other] < value[child] or (value[other] == value[child] and photo[other] > photo[child])
                    ):
                        child = other
                    if value[child] > new or (value[child] == new and photo[child] < row):
                        break
                    value[at] = value[child]
                    photo[at] = photo[child]
                    at = child
                value[at] = new
                photo[at] = row
        by_photo = np.argsort(photo, kind="mergesort")
        order = by_photo[np.argsort(-value[by_photo], kind="mergesort")]
        for best in range(k):
            if photo[order[best]] < 0:
                break
            index[to[i], best] = photo[order[best]]
            similarity[to[i], best] = value[order[best]]


@kernel(parallel=True)
def mix_hashes(array: np.ndarray, rows: np.ndarray, hashes: np.ndarray) -> None:
    """Mix the bits of each row into its hash."""
    for i in numba.prange(rows.shape[0]):
        h = hashes[i]
        for x in array[rows[i]]:
            h = (h ^ np.uint64(np.float32(x).view(np.uint32))) * np.uint64(0x9E3779B97F4A7C15)
            h ^= h >> np.uint64(29)
        hashes[i] = h


@kernel(parallel=True)
def compare_rows(array: np.ndarray, left: np.ndarray, right: np.ndarray, equal: np.ndarray) -> None:
    """Clear `equal[i]` where rows `left[i]` and `right[i]` differ."""
    for i in numba.prange(left.shape[0]):
        if equal[i]:
            for x, y in zip(array[left[i]], array[right[i]]):  # noqa: B905 - numba knows no strict
                if x != y:
                    equal[i] = False
                    break
