"""Compiled loops that keep what may be among the best of a list.

A tile holds, for each source, the products of some queries with some photos, right to within a window and rounded once.
A list takes the weighted sum of some of them. Of a sum, two float32 numbers are known: `high` and `low`, between which
it lies but for the window.
"""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.neighbours.screen_kernels import LOST, float_of_key, key_below, kth_largest

_STRIDE = 64
# new candidates after which the cuts are raised
_PATIENCE = 128
_WIDE, _FLAT = 64, 8


@kernel(parallel=True)
def transpose(tables: np.ndarray, out: np.ndarray) -> None:
    """Copy (sources, n, m) tables to (sources, m, n), by flat blocks: a few rows stay in the cache, whatever m is."""
    n_sources, n, m = tables.shape
    for b in numba.prange((m + _WIDE - 1) // _WIDE):
        for s in range(n_sources):
            for top in range(0, n, _FLAT):
                for j in range(b * _WIDE, min(m, (b + 1) * _WIDE)):
                    for i in range(top, min(n, top + _FLAT)):
                        out[s, j, i] = tables[s, i, j]


@kernel(inline="always")
def kth_in(low: np.ndarray, place: np.ndarray, k: int, start: int, stop: int) -> int:
    """The k-th largest key among the places from `start` to `stop`, of which there must be k."""
    least, most = int(low.min()), int(low.max())
    while least < most:
        middle = least + (most - least + 1) // 2
        reach = 0
        for c in range(low.shape[0]):
            reach += (low[c] >= middle) & (place[c] >= start) & (place[c] < stop)
        if reach >= k:
            least = middle
        else:
            most = middle - 1
    return least


@kernel(inline="always")
def _cut(key: int, window: float) -> np.float32:
    # rounded down, for it is a float32 number that is compared
    return np.float32(float_of_key(key_below(float_of_key(key, 0) - 2.0 * window, 0), 0))


@kernel()
def compact(
    high: np.ndarray,
    low: np.ndarray,
    place: np.ndarray,
    count: int,
    k: int,
    k_class: int,
    class_start: int,
    class_stop: int,
    window: float,
) -> tuple[np.float32, np.float32, int]:
    """Drop what is below the cuts that the k best so far allow, over all photos and over the query's own class.

    Returns the two cuts and how many candidates are left.
    """
    cut = np.float32(np.inf) if k == 0 else np.float32(-np.inf)
    if 0 < k <= count:
        cut = _cut(kth_largest(low[:count], k), window)
    of_class = 0
    for c in range(count):
        of_class += (place[c] >= class_start) & (place[c] < class_stop)
    cut_class = np.float32(np.inf) if k_class == 0 else np.float32(-np.inf)
    if 0 < k_class <= of_class:
        cut_class = _cut(kth_in(low[:count], place[:count], k_class, class_start, class_stop), window)
    left = 0
    for c in range(count):
        in_class = class_start <= place[c] < class_stop
        if high[c] >= cut or (in_class and high[c] >= cut_class):
            high[left], low[left], place[left] = high[c], low[c], place[c]
            left += 1
    return cut, cut_class, left


@kernel(fastmath={"contract"})
def _add_upper(row: np.ndarray, weight: float, rounding: float, dropped_bits: int, upper: np.ndarray) -> None:
    """Add a source's products, rounded up, times its weight."""
    w, more = np.float32(weight), np.float32(weight * rounding)
    for j in range(row.shape[0]):
        value = np.int32(np.int32(row[j]) << dropped_bits).view(np.float32)
        upper[j] += w * value + more * abs(value)


@kernel()
def _any_reaches(upper: np.ndarray, reach: float) -> bool:
    hits = np.int32(0)
    least = np.float32(reach)
    for j in range(upper.shape[0]):
        hits += np.int32(upper[j] >= least)
    return bool(hits > 0)


@kernel(parallel=True)
def collect(
    bits: np.ndarray,
    weights: np.ndarray,
    rounding: float,
    dropped_bits: int,
    first: int,
    query_group: np.ndarray,
    gallery_group: np.ndarray,
    class_start: np.ndarray,
    class_stop: np.ndarray,
    k: int,
    k_class: int,
    window: np.ndarray,
    cut: np.ndarray,
    cut_class: np.ndarray,
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    place: np.ndarray,
) -> None:
    """Put the photos of a tile that may be among a list's best into each query's buffer.

    Parameters
    ----------
    bits : (sources, n, m) int16 or int32 array
        Products of n queries with the photos that stand at `first .. first + m`; floats without their last bits.
    weights : (sources,) float32 array
        The list's.
    rounding : float
        Relative error of each product's last rounding.
    query_group : (n,) array; gallery_group : (m,) array
        Photos of the query's own group are passed over.
    class_start, class_stop : (n,) int arrays
        Places of the photos of the query's own class.
    k, k_class : int
        How many are wanted among all photos and among those of the own class; 0 for none.
    window : (n,) float64 array
        Bound on the distance of the weighted sum, but for the last rounding, from what it stands for.
    cut, cut_class : (n,) float32 arrays
    count : (n,) int64 array
        Used places of the buffer; `LOST` gives the query up.
    high : (n, capacity) float32 array; low, place : (n, capacity) int32 arrays
        The buffers; `low` holds keys.
    """
    n_sources, n, m = bits.shape
    capacity = high.shape[1]
    for i in numba.prange(n):
        used = int(count[i])
        upper = np.zeros(m, dtype=np.float32)
        full = min(capacity, max(used, k + k_class) + _PATIENCE)
        if used != LOST:
            for s in range(n_sources):
                _add_upper(bits[s, i], weights[s], rounding, dropped_bits, upper)
        for start in range(0, m, _STRIDE):
            if used == LOST:
                break
            width = min(_STRIDE, m - start)
            reach = cut[i]
            if first + start < class_stop[i] and first + start + width > class_start[i]:
                reach = min(reach, cut_class[i])
            if not _any_reaches(upper[start : start + width], reach):
                continue
            for j in range(start, start + width):
                at = first + j
                if upper[j] < reach or gallery_group[j] == query_group[i]:
                    continue
                in_class = class_start[i] <= at < class_stop[i]
                if not (upper[j] >= cut[i] or (in_class and upper[j] >= cut_class[i])):
                    continue
                if used == full:
                    cut[i], cut_class[i], used = compact(
                        high[i], low[i], place[i], used, k, k_class, class_start[i], class_stop[i], window[i]
                    )
                    if full == capacity and used >= capacity - capacity // 8:
                        # too many are too close to the k-th to be told apart by rounded products
                        used = LOST
                        break
                    full = min(capacity, max(used, k + k_class) + _PATIENCE)
                    if not (upper[j] >= cut[i] or (in_class and upper[j] >= cut_class[i])):
                        continue
                lower = np.float32(0.0)
                for s in range(n_sources):
                    value = np.int32(np.int32(bits[s, i, j]) << dropped_bits).view(np.float32)
                    lower += weights[s] * value - np.float32(weights[s] * rounding) * abs(value)
                high[i, used] = upper[j]
                low[i, used] = key_below(np.float64(lower), 0)
                place[i, used] = at
                used += 1
        count[i] = used


@kernel(parallel=True)
def finish(
    k: int,
    k_class: int,
    class_start: np.ndarray,
    class_stop: np.ndarray,
    window: np.ndarray,
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    place: np.ndarray,
) -> None:
    """Drop what is below the last cuts."""
    for i in numba.prange(count.shape[0]):
        if count[i] > 0:
            _, _, left = compact(
                high[i], low[i], place[i], count[i], k, k_class, class_start[i], class_stop[i], window[i]
            )
            count[i] = left


@kernel(parallel=True)
def append(
    start: np.ndarray,
    column: np.ndarray,
    new_high: np.ndarray,
    new_low: np.ndarray,
    first: int,
    class_start: np.ndarray,
    class_stop: np.ndarray,
    k: int,
    k_class: int,
    window: np.ndarray,
    cut: np.ndarray,
    cut_class: np.ndarray,
    count: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    place: np.ndarray,
) -> None:
    """Put chosen photos, query i's from `start[i]` to `start[i + 1]`, into buffers; the rest as `collect`."""
    capacity = high.shape[1]
    for i in numba.prange(cut.shape[0]):
        used = int(count[i])
        for h in range(start[i], start[i + 1]):
            if used == LOST:
                break
            at = first + column[h]
            in_class = class_start[i] <= at < class_stop[i]
            if not (new_high[h] >= cut[i] or (in_class and new_high[h] >= cut_class[i])):
                continue
            if used == capacity:
                cut[i], cut_class[i], used = compact(
                    high[i], low[i], place[i], used, k, k_class, class_start[i], class_stop[i], window[i]
                )
                if used >= capacity - capacity // 8:
                    used = LOST
                    break
                if not (new_high[h] >= cut[i] or (in_class and new_high[h] >= cut_class[i])):
                    continue
            high[i, used], low[i, used], place[i, used] = new_high[h], key_below(new_low[h], 0), at
            used += 1
        count[i] = used
