"""Compiled loops of the screen: rounding vectors, and keeping what may be among the k best.

Screened values are kept as the bits of the float, bfloat16 in int16 and float32 in int32. For numbers >= 0 the order
of the bits as integers is that of the floats; flipping all bits but the sign of the negative ones makes it so for all.
Such integers are called keys.
"""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel

# columns that are looked at together: one comparison of their maximum with the cut says that none of them matters
_STRIDE = 64
# new candidates after which the cut is raised
_PATIENCE = 256
# smaller numbers are rounded to zero: products of what remains cannot become subnormal, which hardware may flush
_TINY = 2.0**-60
LOST = -1


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def round_units(
    array: np.ndarray,
    rows: np.ndarray,
    scale: np.ndarray,
    centre: np.ndarray,
    subtracted: float,
    dropped_bits: int,
    out: np.ndarray,
    size2: np.ndarray,
    residual2: np.ndarray,
    along: np.ndarray,
) -> None:
    """Round `array[row] * scale - subtracted * centre` to fewer bits.

    The rounded floats' bits go to `out`. Added for each row: to `size2` the squared length before rounding, to
    `residual2` that of the difference, to `along` the product of `array[row] * scale` with `centre`.
    """
    half = (1 << dropped_bits) >> 1
    for i in numba.prange(rows.shape[0]):
        row = array[rows[i]]
        by = scale[i]
        size = 0.0
        residual = 0.0
        dot = 0.0
        for j in range(row.shape[0]):
            unit = np.float64(row[j]) * by
            c = np.float64(centre[j])
            dot += unit * c
            x = unit - subtracted * c
            bits = np.float32(x).view(np.int32)
            if half:
                bits += half - 1 + ((bits >> dropped_bits) & 1)
                bits = (bits >> dropped_bits) << dropped_bits
            if abs(x) < _TINY:
                bits = np.int32(0)
            out[i, j] = bits >> dropped_bits
            lost = x - np.float64(np.int32(bits).view(np.float32))
            size += x * x
            residual += lost * lost
        size2[i] += size
        residual2[i] += residual
        along[i] += dot


@kernel(inline="always")
def _key(bits: int, low: int) -> int:
    """Integer that orders as the float; `low` has all bits set but the sign."""
    return bits if bits >= 0 else bits ^ low


@kernel()
def float_of_key(key: int, dropped_bits: int) -> float:
    """Float that a key stands for."""
    low = (1 << (31 - dropped_bits)) - 1
    return float(np.int32(_key(key, low) << dropped_bits).view(np.float32))


@kernel()
def key_below(value: float, dropped_bits: int) -> int:
    """Largest key whose float is not above `value`."""
    rounded = np.float32(value)
    key = _key(int(rounded.view(np.int32)), (1 << 31) - 1)
    if float(rounded) > value:
        key -= 1
    return key >> dropped_bits


@kernel()
def lower_cuts(cut: np.ndarray, by: np.ndarray, least: int, dropped_bits: int) -> None:
    """Lower the cuts that are above `least` by as much as each query's window has grown."""
    for i in range(cut.shape[0]):
        if by[i] > 0.0 and cut[i] > least:
            cut[i] = key_below(float_of_key(cut[i], dropped_bits) - by[i], dropped_bits)


@kernel()
def kth_largest(keys: np.ndarray, k: int) -> int:
    """The k-th largest of at least k keys, by halving the range: as quick for equal keys as for any others."""
    low, high = int(keys.min()), int(keys.max())
    while low < high:
        middle = low + (high - low + 1) // 2
        reach = 0
        for c in range(keys.shape[0]):
            reach += keys[c] >= middle
        if reach >= k:
            low = middle
        else:
            high = middle - 1
    return low


@kernel()
def _compact(
    keys: np.ndarray, place: np.ndarray, count: int, k: int, window: float, rounding: float, dropped_bits: int
) -> tuple[int, int]:
    """Raise the cut to what the k best so far allow, and drop what is below it. Returns the cut and what is left."""
    value = float_of_key(kth_largest(keys[:count], k), dropped_bits)
    cut = key_below(value - rounding * abs(value) - 2.0 * window, dropped_bits)
    left = 0
    for c in range(count):
        if keys[c] >= cut:
            keys[left] = keys[c]
            place[left] = place[c]
            left += 1
    return cut, left


@kernel(inline="always")
def _reach(row: np.ndarray, start: int, reach: int, low: int, hits: np.ndarray) -> int:
    """Columns from `start` on, a stride of them, whose key is at least `reach`; returns how many."""
    n_hits = 0
    if reach > 0 and start + _STRIDE <= row.shape[0]:
        # loops of a fixed length, which compilers turn into vectors; of positive keys the bits can be compared
        best = row[start]
        for j in range(start, start + _STRIDE):
            best = max(best, row[j])
        if best >= reach:
            for j in range(start, start + _STRIDE):
                if row[j] >= reach:
                    hits[n_hits] = j
                    n_hits += 1
    else:
        for j in range(start, min(row.shape[0], start + _STRIDE)):
            if _key(int(row[j]), low) >= reach:
                hits[n_hits] = j
                n_hits += 1
    return n_hits


@kernel(parallel=True)
def collect(
    bits: np.ndarray,
    first: int,
    query_group: np.ndarray,
    gallery_group: np.ndarray,
    k: int,
    window: np.ndarray,
    rounding: float,
    dropped_bits: int,
    cut: np.ndarray,
    count: np.ndarray,
    keys: np.ndarray,
    place: np.ndarray,
) -> None:
    """Put what reaches each query's cut into its buffer.

    Parameters
    ----------
    bits : (n, m) int16 or int32 array
        Screened values of n queries with the gallery photos `first .. first + m` of the job.
    query_group : (n,) array; gallery_group : (m,) array
        Photos of the query's own group are passed over.
    window : (n,) float64 array
        Bound on the distance of a screened value, before the last rounding, from what it stands for.
    rounding : float
        Relative error of that last rounding.
    cut, count : (n,) int arrays
        Key to reach, and used places of the buffer; a count of `LOST` gives the query up.
    keys, place : (n, capacity) arrays
        The buffers: the key and the place in the job's gallery of each candidate, in gallery order.
    """
    low = (1 << (31 - dropped_bits)) - 1
    n, m = bits.shape
    capacity = keys.shape[1]
    for i in numba.prange(n):
        row = bits[i]
        reach = int(cut[i])
        used = int(count[i])
        full = min(capacity, max(used, k) + _PATIENCE)
        hits = np.empty(_STRIDE, dtype=np.int64)
        for start in range(0, m, _STRIDE):
            if used == LOST:
                break
            for h in range(_reach(row, start, reach, low, hits)):
                key = _key(int(row[hits[h]]), low)
                if key < reach or gallery_group[hits[h]] == query_group[i]:
                    continue
                if used == full:
                    reach, used = _compact(keys[i], place[i], used, k, window[i], rounding, dropped_bits)
                    if full == capacity and used >= capacity - capacity // 8:
                        # too many are too close to the k-th for this screen to tell apart
                        used = LOST
                        break
                    full = min(capacity, max(used, k) + _PATIENCE)
                    if key < reach:
                        continue
                keys[i, used] = key
                place[i, used] = first + hits[h]
                used += 1
        cut[i] = reach
        count[i] = used


@kernel()
def floats_of_keys(keys: np.ndarray, dropped_bits: int) -> np.ndarray:
    """Floats that keys stand for; the least key of all stands for -inf."""
    out = np.full(keys.shape[0], -np.inf, dtype=np.float32)
    for i in range(keys.shape[0]):
        if keys[i] > -(1 << 31):
            out[i] = float_of_key(keys[i], dropped_bits)
    return out


@kernel(parallel=True)
def append(
    start: np.ndarray,
    column: np.ndarray,
    bits: np.ndarray,
    first: int,
    k: int,
    window: np.ndarray,
    rounding: float,
    dropped_bits: int,
    cut: np.ndarray,
    count: np.ndarray,
    keys: np.ndarray,
    place: np.ndarray,
) -> None:
    """Put chosen screened values, query i's from `start[i]` to `start[i + 1]`, into buffers; the rest as `collect`."""
    low = (1 << (31 - dropped_bits)) - 1
    capacity = keys.shape[1]
    for i in numba.prange(cut.shape[0]):
        reach, used = int(cut[i]), int(count[i])
        for h in range(start[i], start[i + 1]):
            key = _key(int(bits[h]), low)
            if used == capacity and key >= reach:
                reach, used = _compact(keys[i], place[i], used, k, window[i], rounding, dropped_bits)
                if used >= capacity - capacity // 8:
                    used = LOST
            if used == LOST:
                break
            if key >= reach:
                keys[i, used] = key
                place[i, used] = first + column[h]
                used += 1
        cut[i] = reach
        count[i] = used


@kernel(parallel=True)
def finish(
    k: int,
    window: np.ndarray,
    rounding: float,
    dropped_bits: int,
    cut: np.ndarray,
    count: np.ndarray,
    keys: np.ndarray,
    place: np.ndarray,
) -> None:
    """Drop what is below the last cut, and put the k-th largest key in its place (the least where there are fewer)."""
    for i in numba.prange(count.shape[0]):
        cut[i] = -(1 << 31)
        if count[i] > k:
            _, left = _compact(keys[i], place[i], count[i], k, window[i], rounding, dropped_bits)
            count[i] = left
            cut[i] = kth_largest(keys[i, :left], k)
