"""Compiled loops of the screen: rounding vectors, and integers that order as floats.

Screened values are kept as the bits of the float, bfloat16 in int16 and float32 in int32. For numbers >= 0 the order
of the bits as integers is that of the floats; flipping all bits but the sign of the negative ones makes it so for all.
Such integers are called keys.
"""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel

# smaller numbers are rounded to zero: products of what remains cannot become subnormal, which hardware may flush
_TINY = 2.0**-60
LOST = -1


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def round_units(
    array: np.ndarray,
    rows: np.ndarray,
    scale: np.ndarray,
    centre: np.ndarray,
    dropped_bits: int,
    out: np.ndarray,
    size2: np.ndarray,
    residual2: np.ndarray,
    along: np.ndarray,
) -> None:
    """Round `array[row] * scale - centre` to fewer bits.

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
            x = unit - c
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


@kernel(parallel=True)
def largest_numbers(
    array: np.ndarray, rows: np.ndarray, scale: np.ndarray, centre: np.ndarray, largest: np.ndarray
) -> None:
    """Raise `largest` to the largest |array[row] * scale - centre| of each row."""
    for i in numba.prange(rows.shape[0]):
        row = array[rows[i]]
        most = largest[i]
        for j in range(row.shape[0]):
            most = max(most, abs(np.float64(row[j]) * scale[i] - np.float64(centre[j])))
        largest[i] = most


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def round_to_steps(
    array: np.ndarray,
    rows: np.ndarray,
    scale: np.ndarray,
    centre: np.ndarray,
    step: np.ndarray,
    out: np.ndarray,
    size2: np.ndarray,
    residual2: np.ndarray,
    along: np.ndarray,
) -> None:
    """Round `array[row] * scale - centre` to whole numbers of the row's `step`; the rest as `round_units`."""
    for i in numba.prange(rows.shape[0]):
        row = array[rows[i]]
        by = scale[i]
        one = np.float64(step[i])
        inverse = 1.0 / one
        size = 0.0
        residual = 0.0
        dot = 0.0
        for j in range(row.shape[0]):
            unit = np.float64(row[j]) * by
            c = np.float64(centre[j])
            dot += unit * c
            x = unit - c
            whole = np.rint(x * inverse)
            out[i, j] = np.int8(whole)
            lost = x - whole * one
            size += x * x
            residual += lost * lost
        size2[i] += size
        residual2[i] += residual
        along[i] += dot


@kernel(parallel=True, fastmath={"contract"})
def to_floats(
    table: np.ndarray,
    query_step: np.ndarray,
    gallery_step: np.ndarray,
    query_constant: np.ndarray,
    gallery_constant: np.ndarray,
) -> None:
    """Turn whole-numbered products into float32 bits of what they stand for, in place."""
    for i in numba.prange(table.shape[0]):
        for j in range(table.shape[1]):
            value = (query_step[i] * gallery_step[j]) * np.float32(table[i, j])
            table[i, j] = np.float32(value + (query_constant[i] + gallery_constant[j])).view(np.int32)


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
