"""What exact neighbours are searched in, and what a search answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from cv.errors import FinblendError
from cv.limits import LONGEST, SHORTEST
from postproc.compiled import as_read
from postproc.neighbours.exact_kernels import row_norms

Views: TypeAlias = tuple[np.ndarray, ...]

NOBODY = -1


@dataclass(frozen=True)
class Space:
    """Where one source compares queries with gallery photos.

    The similarity of query view v and a gallery photo is the best over gallery views of the mean over parts of the
    cosine. Parts are the spaces of a model's fold networks, which never mix; a single network has one part.

    Attributes
    ----------
    query, gallery : tuple of tuples of (n, d) float32 arrays
        `query[part][view]`, `gallery[part][view]`; widths may differ between parts, not within one. Memory maps are
        read where they lie.
    """

    query: tuple[Views, ...]
    gallery: tuple[Views, ...]
    # what has been computed of them, by part and view (-1 and less: of queries); see `exact.lengths`
    norms: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.query or len(self.query) != len(self.gallery):
            raise FinblendError(
                f"a space needs as many query as gallery parts, got {len(self.query)} and {len(self.gallery)}"
            )
        for side in (self.query, self.gallery):
            if len({len(a) for part in side for a in part}) != 1 or len({len(part) for part in side}) != 1:
                raise FinblendError("all parts and views of a space must have the same photos")
        for query, gallery in zip(self.query, self.gallery, strict=True):
            if len({a.shape[1] for a in query + gallery}) != 1:
                raise FinblendError(f"widths differ within a space: {sorted({a.shape[1] for a in query + gallery})}")

    @property
    def n_query(self) -> int:
        """Number of queries."""
        return len(self.query[0][0])

    @property
    def n_gallery(self) -> int:
        """Number of gallery photos."""
        return len(self.gallery[0][0])

    @property
    def n_views(self) -> int:
        """Number of query views."""
        return len(self.query[0])


@dataclass(frozen=True)
class Neighbours:
    """The nearest gallery photos of each query.

    Attributes
    ----------
    index : (n, k) int32 array
        Gallery rows, most similar first, ties in gallery order; -1 where there are fewer than k.
    similarity : (n, k) float32 array
        Cosines in [-1, 1]; -inf where there is no neighbour.
    """

    index: np.ndarray
    similarity: np.ndarray


def without_selves(near: Neighbours, selves: np.ndarray) -> Neighbours:
    """Lists one shorter: each without the photo that is the query itself, or without the last.

    Examples
    --------
    >>> near = Neighbours(np.array([[5, 2, 7], [5, 2, 7]]), np.array([[3.0, 2.0, 1.0]] * 2, dtype=np.float32))
    >>> without_selves(near, np.array([2, -1])).index
    array([[5, 7],
           [5, 2]])
    """
    left_out = (near.index == selves[:, None]) & (selves != NOBODY)[:, None]
    left_out[:, -1] |= ~left_out.any(axis=1)
    shape = (len(selves), near.index.shape[1] - 1)
    return Neighbours(near.index[~left_out].reshape(shape), near.similarity[~left_out].reshape(shape))


def norms(array: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(n,) float64 Euclidean norms of the rows, in the fixed order of all exact products.

    Parameters
    ----------
    array : (m, d) float32 array
    rows : (n,) int array, optional
        Which rows; all by default.

    Raises
    ------
    FinblendError
        If a row has no direction, or is so short or long that float32 products could under- or overflow.
    """
    rows = np.arange(len(array)) if rows is None else rows
    out = np.asarray(row_norms(as_read(array), rows.astype(np.int64, copy=False)))
    bad = np.flatnonzero(~((out > SHORTEST) & (out < LONGEST)))
    if len(bad):
        row, norm = rows[bad[0]], out[bad[0]]
        raise FinblendError(f"embedding {row}: {SHORTEST} < norm < {LONGEST} must hold, but got norm={norm}")
    return out
