"""The compiled loops behind evidence."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel


@kernel()
def ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Concatenate the ranges start[i] : start[i] + length[i]."""
    out = np.empty(length.sum(), dtype=np.int64)
    at = 0
    for i in range(len(start)):
        for j in range(length[i]):
            out[at] = start[i] + j
            at += 1
    return out


@kernel(parallel=True)
def copy_near(
    index: np.ndarray,
    values: np.ndarray,
    place: np.ndarray,
    query_start: np.ndarray,
    pair_place: np.ndarray,
    out: np.ndarray,
) -> None:
    """Give the pairs that a search found the similarity it found, if it did; pairs of a query stand by `place`."""
    for q in numba.prange(index.shape[0]):
        places = pair_place[query_start[q] : query_start[q + 1]]
        for k in range(index.shape[1]):
            if index[q, k] >= 0 and not np.isnan(values[q, k]):
                out[query_start[q] + np.searchsorted(places, place[index[q, k]])] = values[q, k]


@kernel(parallel=True)
def copy_sorted(
    known_start: np.ndarray,
    known_place: np.ndarray,
    values: np.ndarray,
    query_start: np.ndarray,
    pair_place: np.ndarray,
    out: np.ndarray,
) -> None:
    """Copy values of pairs that both lists hold; both stand by place within a query."""
    for q in numba.prange(len(query_start) - 1):
        k, last = known_start[q], known_start[q + 1]
        for p in range(query_start[q], query_start[q + 1]):
            while k < last and known_place[k] < pair_place[p]:
                k += 1
            if k < last and known_place[k] == pair_place[p]:
                out[p] = values[k]
