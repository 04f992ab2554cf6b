"""What a back end of the screen is given and does: multiply a tile, keep what may be among the k best."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Buffers:
    """Candidates of n queries.

    Attributes
    ----------
    keys : (n, capacity) int16 or int32 array
        Screened values as keys; see `postproc.neighbours.screen_kernels`.
    place : (n, capacity) int32 array
        Places in the job's gallery, ascending.
    cut, count : (n,) int64 arrays
        Key to reach, and number of candidates, `LOST` where there are too many.
    """

    keys: np.ndarray
    place: np.ndarray
    cut: np.ndarray
    count: np.ndarray

    def part(self, at: slice) -> Buffers:
        """Views of some queries' buffers."""
        return Buffers(*(a[at] for a in (self.keys, self.place, self.cut, self.count)))


@dataclass(frozen=True)
class Tile:
    """Rounded queries and gallery photos that are to be multiplied.

    Attributes
    ----------
    query : (n, d) array of bits
    gallery : (views, m, d) array of bits
    first : int
        Place of the first photo in the job's gallery.
    query_group, gallery_group : (n,), (m,) int arrays
        Photos of the query's own group are passed over.
    window : (n,) float64 array
        Bound on the distance of a product, before its last rounding, from what it stands for.
    """

    query: np.ndarray
    gallery: np.ndarray
    first: int
    query_group: np.ndarray
    gallery_group: np.ndarray
    window: np.ndarray


class Products(Protocol):
    """Multiplies rounded vectors and keeps what may be among the k best.

    Attributes
    ----------
    dropped_bits : int
        How many bits of a float32 the vectors and products lack.
    rounding : float
        Relative error of rounding a product that was summed in float32.
    roundings_a_term : int
        How many units of 2^-24 each addition may cost: 1 where it rounds to nearest.
    queries_at_once : int
        Height of a tile.
    """

    dropped_bits: int
    rounding: float
    roundings_a_term: int
    queries_at_once: int

    def keep(self, tile: Tile, k: int, buffers: Buffers) -> None:
        """Put the photos that reach their query's cut, by the best of their views, into its buffer."""

    def threads(self) -> AbstractContextManager[None]:
        """Context in which products are taken on as many threads as numba uses."""
