"""The compiled loops behind pair tables."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel


@kernel(parallel=True)
def look_up(
    start: np.ndarray,
    gallery: np.ndarray,
    score: np.ndarray,
    second: np.ndarray,
    photos_of_query: np.ndarray,
    photo: np.ndarray,
    out: np.ndarray,
) -> None:
    """Give candidate photos what the table says of them; its pairs stand by gallery row within a query."""
    for q in numba.prange(len(start) - 1):
        rows = gallery[start[q] : start[q + 1]]
        for p in range(photos_of_query[q], photos_of_query[q + 1]):
            at = np.searchsorted(rows, photo[p])
            if at < len(rows) and rows[at] == photo[p]:
                out[p, 0] = score[start[q] + at]
                out[p, 1] = second[start[q] + at]


@kernel(parallel=True)
def fill_top(start: np.ndarray, gallery: np.ndarray, score: np.ndarray, out: np.ndarray) -> None:
    """Insert each query's best scores above 0 into its k places; of equal ones the lower row stands first."""
    k = out.shape[1]
    for q in numba.prange(len(start) - 1):
        top = np.zeros(k, dtype=np.float32)
        for p in range(start[q], start[q + 1]):
            at = k - 1
            if not score[p] > top[at]:
                continue
            while at > 0 and score[p] > top[at - 1]:
                top[at], out[q, at] = top[at - 1], out[q, at - 1]
                at -= 1
            top[at], out[q, at] = score[p], gallery[p]
