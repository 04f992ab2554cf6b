"""Rounded photos, and how far their products are from similarities: either of two photos may be the query.

Where the certainty comes from
------------------------------
Let u be a photo's unit vectors of all parts, each times P^(-1/2), one behind the other: the similarity of two photos is
u.v. With any vector c (the centre of the gallery makes what follows short where all cosines are large) and x = u - c,
y = v - c, b = c.x, d = c.y,

    u.v - c.c = x.y + b + d = [x, 1, 1, b1, b2] . [y, d1, d2, 1, 1]   with b = b1 + b2 + what is left of it

so that the rounded vectors' product tells all similarities less one and the same constant. In it

    |x.y - x'.y'| <= |x - x'| |y| + |x'| |y - y'|                              (Cauchy-Schwarz; all four are known)
    |sum - exact| <= gamma (|x'| |y'| + |b| + |d|),  gamma = r n 2^-24 / (1 - r n 2^-24)  (Higham 2002, eq. 3.5)

with n terms, and r = 1 where sums round to nearest. b and d lose what two rounded numbers leave of them. The similarity
itself is a float64 sum rounded to float32. The sum of all is the query's *window* w. Products of bfloat16 numbers are
exact in float32. r = 4 where sums are cut off and aligned to the largest of a group, as on GPUs (Fasi, Higham, Mikaitis
and Pranesh 2021). Numbers below 2^-60 are rounded to zero, so that no product of two is subnormal.

In whole numbers of 8 bits x' is a whole multiple of the photo's step, 127 of which reach its largest number. Products
and sums are exact (of fewer than 2^31 / 127^2 = 133,000 numbers: `WIDEST`); both steps and constants come in
afterwards, with five roundings at most.

Products in bfloat16 are rounded once more, by 2^-8 of their size at most. For a weighted sum of several sources'
products, `high` and `low` are what it is at most and at least before that. Let c be the k-th largest `low` so far: the
similarities of k photos, less the constant, are at least c - w. A photo with high < c - 2 w lies below all of theirs:
it is not among the k best, nor tied with the last of them. The window grows when photos come that are longer, or lose
more, than all before them: cuts fall by as much, for the error of the new ones is larger than they allow for. What is
left is computed exactly (`postproc.neighbours.refine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from postproc.compiled import as_read
from postproc.neighbours.screen_base import Factors, Products
from postproc.neighbours.screen_kernels import largest_numbers, round_to_steps, round_units

_UNIT = 2.0**-24
# columns behind the vector: two that carry its own constant, and two that take the other's
EXTRA = 4
_TINY = 2.0**-60
# numbers of a photo up to which sums of products of 8 bits are exact
WIDEST = 2**17


@dataclass
class Largest:
    """What bounds every photo so far: length, what rounding took of it, its constant, what rounding took of that."""

    length: float = 0.0
    lost: float = 0.0
    constant: float = 0.0
    constant_lost: float = 0.0

    def take(self, rounded: Rounded) -> None:
        """Let more photos count."""
        self.length = max(self.length, float(rounded.length.max(initial=0.0)))
        self.lost = max(self.lost, float(rounded.lost.max(initial=0.0)))
        self.constant = max(self.constant, float(np.abs(rounded.constant).max(initial=0.0)))
        self.constant_lost = max(self.constant_lost, float(rounded.constant_lost.max(initial=0.0)))


@dataclass(frozen=True)
class Rounded:
    """Rounded photos.

    Attributes
    ----------
    factors : Factors
        Of n photos, as queries; see `as_gallery`.
    width : int
        Numbers of the vector itself.
    length, lost : (n,) float64 arrays
        Of the vector less the centre, and of what rounding took of it.
    constant, constant_lost : (n,) float64 arrays
        Product of that with the centre, and what rounding took of it.
    """

    factors: Factors
    width: int
    length: np.ndarray
    lost: np.ndarray
    constant: np.ndarray
    constant_lost: np.ndarray

    def window(self, products: Products, largest: Largest) -> np.ndarray:
        """(n,) bound on the distance of a sum, before its last rounding, from the similarity less the constant."""
        units = products.roundings_a_term * (self.width + EXTRA + 2) * _UNIT
        gamma = units / (1 - units)
        size = self.length + self.lost
        # the two numbers that carry a constant may together be larger than it, by as much as the first was rounded
        constant = (1 + 2.0**-7) * (np.abs(self.constant) + largest.constant)
        summing = gamma * (size * (largest.length + largest.lost) + constant)
        exact = 1.001 * _UNIT + (self.width + 64) * 2.0**-52
        vectors = self.lost * largest.length + size * largest.lost
        constants = self.constant_lost + largest.constant_lost
        return np.asarray((vectors + constants + summing) * (1 + 1e-9) + exact)

    def most(self, largest: Largest) -> np.ndarray:
        """(n,) bound on the size of a sum."""
        size = (self.length + self.lost) * (largest.length + largest.lost)
        return np.asarray(1.001 * (size + np.abs(self.constant) + largest.constant) + 1e-3)


def padded_width(width: int, kind: type[np.integer[Any]]) -> int:
    """Numbers of a rounded vector with its extra columns: hardware likes its length to be round."""
    return -(-width // 64) * 64 if kind is np.int8 else -(-(width + EXTRA) // 32) * 32


def round_photos(
    arrays: Sequence[np.ndarray],
    norms: Sequence[np.ndarray],
    rows: np.ndarray,
    centre: Sequence[np.ndarray],
    dropped_bits: int,
    out: np.ndarray,
) -> Rounded:
    """Round photos, as queries.

    Parameters
    ----------
    arrays : sequence of (m, d) float32 arrays
        By part.
    norms : sequence of (n,) float64 arrays
        By part, of `rows`.
    rows : (n,) int array
    centre : sequence of (d,) float32 arrays
        By part, times P^(-1/2).
    dropped_bits : int
    out : (n, padded) int8, int16 or int32 array
        Zeros behind the width. In int8 whole numbers are put, of a step that is the row's largest number's 127th part.
    """
    rows = rows.astype(np.int64, copy=False)
    size2, off2, along = (np.zeros(len(rows)) for _ in range(3))
    scales = [1.0 / (norm * np.sqrt(len(arrays))) for norm in norms]
    step = _steps(arrays, scales, rows, centre) if out.dtype == np.int8 else None
    left = 0
    for array, scale, middle in zip(arrays, scales, centre, strict=True):
        at = out[:, left : left + len(middle)]
        if step is None:
            round_units(as_read(array), rows, scale, middle, dropped_bits, at, size2, off2, along)
        else:
            round_to_steps(as_read(array), rows, scale, middle, step, at, size2, off2, along)
        left += len(middle)
    constant = along - sum(float(middle.astype(np.float64) @ middle.astype(np.float64)) for middle in centre)
    first, second = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
    first[:] = _short(constant, dropped_bits)
    if step is None:
        second[:] = _short(constant - first, dropped_bits)
        out[:, left : left + 2] = _bits(np.ones(1, np.float32), dropped_bits)
        out[:, left + 2], out[:, left + 3] = _bits(first, dropped_bits), _bits(second, dropped_bits)
    kept = first.astype(np.float64) + second.astype(np.float64)
    return Rounded(
        Factors(out) if step is None else Factors(out, step, first),
        left,
        np.sqrt(size2) * (1 + 1e-9),
        np.sqrt(off2) * (1 + 1e-9),
        constant,
        np.abs(constant - kept) + 1e-12,
    )


def as_gallery(factors: Factors, width: int) -> Factors:
    """Make rounded photos those that queries are multiplied with: the extra columns, if any, change sides."""
    if factors.step is None:
        factors.bits[:, width : width + EXTRA] = factors.bits[:, [width + 2, width + 3, width, width + 1]]
    return factors


def _steps(
    arrays: Sequence[np.ndarray], scales: Sequence[np.ndarray], rows: np.ndarray, centre: Sequence[np.ndarray]
) -> np.ndarray:
    """(n,) float32 steps of which 127 reach a row's largest number."""
    largest = np.zeros(len(rows))
    for array, scale, middle in zip(arrays, scales, centre, strict=True):
        largest_numbers(array, rows, scale, middle, largest)
    # a step is never subnormal, nor so short that the largest number rounds to 128 of them
    return np.asarray(np.maximum(largest / 127, _TINY).astype(np.float32) * np.float32(1 + 2.0**-22))


def _short(values: np.ndarray, dropped_bits: int) -> np.ndarray:
    """Float32 numbers near the values that lack so many bits."""
    kept = np.where(np.abs(values) < _TINY, 0.0, values).astype(np.float32)
    if not dropped_bits:
        return kept
    bits = kept.view(np.int32)
    return ((bits + (1 << (dropped_bits - 1))) >> dropped_bits << dropped_bits).astype(np.int32).view(np.float32)


def _bits(values: np.ndarray, dropped_bits: int) -> np.ndarray:
    return values.view(np.int32) >> dropped_bits
