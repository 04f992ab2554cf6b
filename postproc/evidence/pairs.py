"""What a pair source says about query photos and gallery photos: sparse, for most pairs are never compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from postproc.evidence.evidence import Evidence
from postproc.evidence.pairs_kernels import fill_top, look_up
from postproc.neighbours.search import NOBODY

# numbers that a pair source has for a pair: its score, and a second one
CHANNELS = 2


@dataclass(frozen=True)
class PairTable:
    """Compared pairs, grouped by query: query i owns the pairs `start[i] : start[i + 1]`.

    Attributes
    ----------
    start : (n + 1,) int64 array
    gallery : (m,) int32 array
        Gallery row, ascending within a query, each at most once.
    score, second : (m,) float32 arrays
        Higher is more alike; `second` is NaN where there is none. A pair that is not here was not compared: unknown.

    Examples
    --------
    >>> table = PairTable.of(2, np.array([1, 0, 0]), np.array([4, 7, 2]), np.array([0.5, 0.9, 0.1]))
    >>> table.start, table.gallery
    (array([0, 2, 3]), array([2, 7, 4], dtype=int32))
    """

    start: np.ndarray
    gallery: np.ndarray
    score: np.ndarray
    second: np.ndarray

    def __post_init__(self) -> None:
        m = len(self.gallery)
        whole = self.start[0] == 0 and self.start[-1] == m and (np.diff(self.start) >= 0).all()
        if not whole or len(self.score) != m or len(self.second) != m:
            raise FinblendError("a pair table needs as many gallery rows and scores as its last query ends at")
        # pairs are looked up by bisection
        within = np.ones(max(m - 1, 0), dtype=bool)
        within[self.start[(self.start > 0) & (self.start < m)] - 1] = False
        if not (np.diff(self.gallery)[within] > 0).all():
            raise FinblendError("a query's gallery rows must ascend in a pair table, each at most once")

    @classmethod
    def of(
        cls, n: int, query: np.ndarray, gallery: np.ndarray, score: np.ndarray, second: np.ndarray | None = None
    ) -> PairTable:
        """Sort pairs of n queries; a pair that stands twice, or of another query, is refused."""
        strange = np.flatnonzero((np.asarray(query) < 0) | (np.asarray(query) >= n))
        if len(strange):
            raise FinblendError(f"0 <= query < {n} must hold, but got query={query[strange[0]]}")
        order = np.lexsort((gallery, query))
        query, gallery = np.asarray(query)[order], np.asarray(gallery, dtype=np.int32)[order]
        twice = np.flatnonzero((np.diff(query) == 0) & (np.diff(gallery) == 0))
        if len(twice):
            raise FinblendError(f"query {query[twice[0]]} and gallery photo {gallery[twice[0]]} stand twice")
        second = np.full(len(order), np.nan, dtype=np.float32) if second is None else np.asarray(second)[order]
        start = np.searchsorted(query, np.arange(n + 1)).astype(np.int64)
        return cls(start, gallery, np.asarray(score, dtype=np.float32)[order], second.astype(np.float32))

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.start) - 1

    @property
    def query(self) -> np.ndarray:
        """(m,) query of each pair."""
        return np.repeat(np.arange(self.n_queries), np.diff(self.start))

    def take(self, rows: np.ndarray) -> PairTable:
        """The pairs of some queries, in their order."""
        length = np.diff(self.start)[rows]
        start = np.append(0, np.cumsum(length))
        at = np.arange(start[-1]) + np.repeat(self.start[:-1][rows] - start[:-1], length)
        return PairTable(start, self.gallery[at], self.score[at], self.second[at])

    def where(self, keep: np.ndarray) -> PairTable:
        """The pairs that are true in a mask of all pairs."""
        start = np.append(0, np.cumsum(keep))[self.start]
        return PairTable(start, self.gallery[keep], self.score[keep], self.second[keep])

    def top(self, k: int) -> np.ndarray:
        """(n, k) int32 gallery rows of the best scores above 0, best first; `NOBODY` where there are fewer."""
        out = np.full((self.n_queries, k), NOBODY, dtype=np.int32)
        fill_top(self.start, self.gallery, self.score, out)
        return out

    def at(self, evidence: Evidence) -> np.ndarray:
        """(photos, 2) float32 score and second number of evidence's candidate photos; NaN where not compared."""
        out = np.full((len(evidence.photo), CHANNELS), np.nan, dtype=np.float32)
        photos_of_query = evidence.photo_start[evidence.group_start]
        look_up(self.start, self.gallery, self.score, self.second, photos_of_query, evidence.photo, out)
        return out
