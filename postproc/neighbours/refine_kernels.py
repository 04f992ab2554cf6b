"""Compiled loops of the refinement: candidates in a row, and the best of what was computed."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel


@kernel(parallel=True)
def flatten(count: np.ndarray, place: np.ndarray, start: np.ndarray, query: np.ndarray, out: np.ndarray) -> None:
    """List the candidates of all queries, in the order of their places."""
    for i in numba.prange(count.shape[0]):
        places = np.sort(place[i, : start[i + 1] - start[i]])
        for c in range(places.shape[0]):
            query[start[i] + c] = i
            out[start[i] + c] = places[c]


@kernel(parallel=True)
def keep_best(
    start: np.ndarray,
    photo: np.ndarray,
    value: np.ndarray,
    chosen: np.ndarray,
    to: np.ndarray,
    number: np.ndarray,
    index: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Sort each query's chosen candidates, the highest first, equals by photo, and keep as many as there is room.

    `number` tells where among the candidates each stands.
    """
    k = index.shape[1]
    for i in numba.prange(start.shape[0] - 1):
        at = start[i] + np.flatnonzero(chosen[start[i] : start[i + 1]])
        by_photo = at[np.argsort(photo[at])]
        order = by_photo[np.argsort(-value[by_photo], kind="mergesort")]
        for best in range(min(k, order.shape[0])):
            index[to[i], best] = photo[order[best]]
            similarity[to[i], best] = value[order[best]]
            number[i, best] = order[best]
