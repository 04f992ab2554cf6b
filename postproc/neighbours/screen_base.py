"""What a back end of the screen is given and does: multiply tiles, keep what may belong to a list."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# room for candidates beyond those that are wanted, of one list among others and of one alone: too little means that a
# query is searched again in float32
SPARE = (256, 1024)


@dataclass(frozen=True)
class Wanted:
    """A list that is wanted.

    Attributes
    ----------
    weights : (columns,) float array >= 0, summing to 1
        It is by the weighted mean of the columns.
    k, k_class : int
        How many of all photos, and how many of the query's own class; 0 for none.
    is_alone : bool
        Whether no other list is wanted beside it.
    """

    weights: np.ndarray
    k: int
    k_class: int
    is_alone: bool = False

    @property
    def some(self) -> slice:
        """Columns from the first to the last that has weight."""
        used = np.flatnonzero(self.weights)
        return slice(int(used[0]), int(used[-1]) + 1)

    @property
    def n_several(self) -> int:
        """Columns that it is by where there are several, otherwise 0."""
        return len(self.weights) if np.count_nonzero(self.weights) > 1 else 0

    def capacity(self, n_gallery: int) -> int:
        """Places of a query's buffer."""
        wanted = self.k + self.k_class
        return min(n_gallery, wanted + max(SPARE[self.is_alone], wanted // 2))


@dataclass(frozen=True)
class Factors:
    """Rounded photos as they are multiplied.

    Attributes
    ----------
    bits : (n, padded) int array
        Floats' bits, or whole numbers.
    step, constant : (n,) float32 arrays or None
        Of whole numbers: the product that is meant is that of both steps and the whole-numbered product, and both
        constants. None where the bits carry them.
    """

    bits: np.ndarray
    step: np.ndarray | None = None
    constant: np.ndarray | None = None

    def part(self, at: slice) -> Factors:
        """Of some of the photos."""
        step, constant = (None if array is None else array[at] for array in (self.step, self.constant))
        return Factors(self.bits[at], step, constant)


@dataclass(frozen=True)
class Candidates:
    """Candidates of n queries for a list, and what tells them.

    Attributes
    ----------
    high : (n, capacity) float32 array
        What the weighted sum is at most, but for the window.
    low : (n, capacity) int32 array
        Keys of what it is at least; see `postproc.neighbours.screen_kernels`.
    place : (n, capacity) int32 array
        Places in the gallery's order.
    cut, cut_class : (n,) float32 arrays
        What `high` must reach, of any photo and of one of the query's class.
    count : (n,) int64 array
        Number of candidates, `LOST` where there are too many.
    window : (n,) float64 array
        How far `high` and `low` may be off; see `Rounded.window`.
    constant : float
        What `high` lacks of a similarity.
    """

    high: np.ndarray
    low: np.ndarray
    place: np.ndarray
    cut: np.ndarray
    cut_class: np.ndarray
    count: np.ndarray
    window: np.ndarray
    constant: float

    @classmethod
    def empty(cls, n: int, wanted: Wanted, n_gallery: int, constant: float) -> Candidates:
        """Of n queries."""
        shape = (n, wanted.capacity(n_gallery))
        return cls(
            np.empty(shape, dtype=np.float32),
            np.empty(shape, dtype=np.int32),
            np.empty(shape, dtype=np.int32),
            np.full(n, -np.inf if wanted.k else np.inf, dtype=np.float32),
            np.full(n, -np.inf if wanted.k_class else np.inf, dtype=np.float32),
            np.zeros(n, dtype=np.int64),
            np.zeros(n),
            constant,
        )

    def part(self, at: slice) -> Candidates:
        """Views of some queries' buffers."""
        arrays = (self.high, self.low, self.place, self.cut, self.cut_class, self.count, self.window)
        return Candidates(*[array[at] for array in arrays], self.constant)  # type: ignore[call-arg, arg-type]


@dataclass(frozen=True, kw_only=True)
class Met:
    """Who meets whom in a tile.

    Attributes
    ----------
    first : int
        Place of the first photo.
    query_group, gallery_group : (n,), (m,) int arrays
        Photos of the query's own group are passed over.
    class_start, class_stop : (n,) int64 arrays
        Places of the photos of the query's own class.
    """

    first: int
    query_group: np.ndarray
    gallery_group: np.ndarray
    class_start: np.ndarray
    class_stop: np.ndarray


class Tables(Protocol):
    """Products of a tile's queries and photos, by column."""

    def collect(self, met: Met, wanted: Wanted, candidates: Candidates) -> None:
        """Put the photos that may belong to a list into each query's buffer."""

    def turned(self) -> Tables:
        """With photos and queries in each other's place."""


class Products(Protocol):
    """Multiplies rounded vectors.

    Attributes
    ----------
    kind : type of int
        Of rounded numbers: bits of floats in int16 or int32, or whole numbers in int8.
    dropped_bits : int
        How many bits of a float32 the products lack, and the vectors where they are floats.
    rounding : float
        Relative error of rounding a product that was summed in float32.
    roundings_a_term : int
        How many units of 2^-24 each addition may cost: 1 where it rounds to nearest.
    tile : int
        Queries and photos of a tile.
    """

    kind: type[np.integer[Any]]
    dropped_bits: int
    rounding: float
    roundings_a_term: int
    tile: int

    def multiply(self, query: Sequence[Factors], gallery: Sequence[Sequence[Factors]]) -> Tables:
        """Multiply rounded vectors, column by column, with the photos of each gallery view: the largest product."""

    def threads(self) -> AbstractContextManager[None]:
        """Context in which products are taken on as many threads as numba uses."""
