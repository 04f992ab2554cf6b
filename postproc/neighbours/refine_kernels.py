"""Compiled loops of the refinement: candidates in a row, and the best of what was computed."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.neighbours.collect_kernels import kth_in
from postproc.neighbours.screen_kernels import kth_largest

# above every key
_NEVER = np.iinfo(np.int32).max


@kernel(parallel=True)
def flatten(
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    place: np.ndarray,
    class_start: np.ndarray,
    class_stop: np.ndarray,
    k: int,
    k_class: int,
    start: np.ndarray,
    query: np.ndarray,
    places: np.ndarray,
    upper: np.ndarray,
    in_class: np.ndarray,
    first: np.ndarray,
) -> None:
    """List the candidates of all queries; `first` are those that look best, as many as are wanted."""
    for i in numba.prange(count.shape[0]):
        n, at = count[i], start[i]
        of_class = 0
        for c in range(n):
            query[at + c], places[at + c], upper[at + c] = i, place[i, c], high[i, c]
            in_class[at + c] = class_start[i] <= place[i, c] < class_stop[i]
            of_class += in_class[at + c]
        least = kth_largest(low[i, :n], min(k, n)) if k > 0 and n > 0 else _NEVER
        of_least = _NEVER
        if k_class > 0 and of_class > 0:
            of_least = kth_in(low[i, :n], place[i, :n], min(k_class, of_class), class_start[i], class_stop[i])
        for c in range(n):
            first[at + c] = low[i, c] >= least or (in_class[at + c] and low[i, c] >= of_least)


@kernel(inline="always")
def _kth(value: np.ndarray, chosen: np.ndarray, k: int) -> float:
    """The k-th largest of the chosen values, and -inf where there are fewer."""
    values = value[chosen]
    if k > values.shape[0]:
        return -np.inf
    return float(np.sort(values)[values.shape[0] - k])


@kernel(parallel=True)
def mark_rest(
    start: np.ndarray,
    value: np.ndarray,
    upper: np.ndarray,
    off: np.ndarray,
    in_class: np.ndarray,
    first: np.ndarray,
    k: int,
    k_class: int,
    rest: np.ndarray,
) -> None:
    """Mark the candidates that `first` leaves and that may reach the best of it: those at most `off` above `upper`."""
    for i in numba.prange(start.shape[0] - 1):
        at = slice(start[i], start[i + 1])
        cut, cut_class = np.inf, np.inf
        if k > 0:
            cut = _kth(value[at], first[at], k) - off[i]
        if k_class > 0:
            cut_class = _kth(value[at], first[at] & in_class[at], k_class) - off[i]
        for c in range(start[i], start[i + 1]):
            rest[c] = not first[c] and (upper[c] >= cut or (in_class[c] and upper[c] >= cut_class))


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
