"""Compiled loops of the refinement: which candidates are computed, and the best of what was."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.neighbours.screen_kernels import key_below


@kernel()
def list_candidates(
    keys: np.ndarray, place: np.ndarray, start: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Query, place in the gallery, and number of every candidate with low <= key < high.

    Query i's candidates have the numbers `start[i]` to `start[i + 1]`.
    """
    n = 0
    for i in range(keys.shape[0]):
        for c in range(start[i + 1] - start[i]):
            n += low[i] <= keys[i, c] < high[i]
    query = np.empty(n, dtype=np.int32)
    photo = np.empty(n, dtype=np.int32)
    number = np.empty(n, dtype=np.int64)
    n = 0
    for i in range(keys.shape[0]):
        for c in range(start[i + 1] - start[i]):
            if low[i] <= keys[i, c] < high[i]:
                query[n] = i
                photo[n] = place[i, c]
                number[n] = start[i] + c
                n += 1
    return query, photo, number


@kernel(parallel=True)
def reaching(
    exact: np.ndarray,
    start: np.ndarray,
    k: int,
    along: np.ndarray,
    window: np.ndarray,
    rounding: float,
    dropped_bits: int,
    kth: np.ndarray,
) -> np.ndarray:
    """Least key that may stand for a similarity as high as the k-th computed one; `kth` where fewer were computed."""
    low = kth.copy()
    for i in numba.prange(kth.shape[0]):
        if start[i + 1] - start[i] > k:
            sure = -np.partition(-exact[start[i] : start[i + 1]], k - 1)[k - 1]
            value = float(sure) - along[i] - window[i]
            value = value / (1.0 + rounding) if value > 0.0 else value / (1.0 - rounding)
            low[i] = min(kth[i], key_below(value, dropped_bits))
    return low


@kernel(parallel=True)
def keep_best(
    exact: np.ndarray,
    place: np.ndarray,
    start: np.ndarray,
    gallery: np.ndarray,
    k: int,
    to: np.ndarray,
    index: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Sort each query's candidates, which stand in gallery order, and keep the first k that were computed."""
    for i in numba.prange(to.shape[0]):
        values = exact[start[i] : start[i + 1]]
        # a stable sort keeps gallery order among equals
        order = np.argsort(-values, kind="mergesort")
        for best in range(min(k, values.shape[0])):
            index[to[i], best] = gallery[place[i, order[best]]]
            similarity[to[i], best] = values[order[best]]
