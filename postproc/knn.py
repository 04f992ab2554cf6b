"""Exact cosine nearest neighbours in bounded memory.

A similarity *is* the float64 dot product in a fixed order, divided by the float64 norms and rounded to float32, so the
answer depends on neither block size nor thread count nor the BLAS at hand. A float32 matrix product screens: whatever
comes within its rounding error of the k-th best is computed exactly, so nothing that belongs in is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cv.errors import FinblendError
from cv.limits import LONGEST, SHORTEST
from postproc.knn_kernels import add_cosines, count_survivors, keep_best, row_norms, survivors

Progress: TypeAlias = Callable[[int], None]
Views: TypeAlias = tuple[np.ndarray, ...]

MEMORY_MB = 512
NOBODY = -1


@dataclass(frozen=True)
class Space:
    """Where one source compares queries with gallery photos.

    The similarity of query view v and a gallery photo is the best over gallery views of the mean over parts of the
    cosine. Parts are the spaces of a model's fold networks, which never mix; a single network has one part.

    Attributes
    ----------
    query, gallery : tuple of tuples of (n, d) float32 arrays
        `query[part][view]`, `gallery[part][view]`; widths may differ between parts, not within one.
    """

    query: tuple[Views, ...]
    gallery: tuple[Views, ...]

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


def norms(array: np.ndarray) -> np.ndarray:
    """(n,) float64 Euclidean norms of the rows, in the fixed order of all exact products.

    Raises
    ------
    FinblendError
        If a row has no direction, or is so short or long that float32 products could under- or overflow.
    """
    out = np.asarray(row_norms(array))
    bad = np.flatnonzero(~((out > SHORTEST) & (out < LONGEST)))
    if len(bad):
        raise FinblendError(f"embedding {bad[0]}: {SHORTEST} < norm < {LONGEST} must hold, but got norm={out[bad[0]]}")
    return out


def top_k(
    space: Space,
    k: int,
    *,
    view: int = 0,
    query_rows: np.ndarray | None = None,
    query_group: np.ndarray | None = None,
    gallery_group: np.ndarray | None = None,
    query_class: np.ndarray | None = None,
    gallery_class: np.ndarray | None = None,
    memory_mb: int = MEMORY_MB,
    progress: Progress | None = None,
) -> Neighbours:
    """Find the k most similar gallery photos of each query, exactly.

    Parameters
    ----------
    space : Space
    k : int
        At least 1; may exceed the gallery.
    view : int
        Which query view.
    query_rows : (n,) int array, optional
        Which queries; all by default.
    query_group, gallery_group : int arrays, optional
        A gallery photo of the query's own group is passed over: with folds as groups, a photo meets only the other
        folds. `query_group` is indexed like `space.query`.
    memory_mb : int
        Bound on the working memory beside the embeddings themselves, in MiB.
    progress : callable, optional
        Called with the number of queries done after each block.

    Returns
    -------
    Neighbours

    Examples
    --------
    >>> a = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> top_k(Space(((a[:1],),), ((a,),)), 2).index
    array([[0, 2]], dtype=int32)
    """
    if k < 1:
        raise FinblendError(f"k >= 1 must hold, but got k={k}")
    rows = np.arange(space.n_query) if query_rows is None else np.asarray(query_rows)
    if query_group is None or gallery_group is None:
        query_group, gallery_group = np.zeros(space.n_query, np.int32), np.ones(space.n_gallery, np.int32)
    index = np.full((len(rows), k), NOBODY, dtype=np.int32)
    similarity = np.full((len(rows), k), -np.inf, dtype=np.float32)
    if query_class is not None and gallery_class is not None:
        for c in np.unique(query_class[rows]):
            own = np.flatnonzero(query_class[rows] == c)
            for g in np.unique(query_group[rows[own]]):
                sub = own[query_group[rows[own]] == g]
                near = top_k(
                    space,
                    k,
                    view=view,
                    query_rows=rows[sub],
                    query_group=query_group,
                    gallery_group=np.where(gallery_class == c, gallery_group, g),
                )
                index[sub], similarity[sub] = near.index, near.similarity
        return Neighbours(index, similarity)
    gallery_norms = [[norms(a) for a in part] for part in space.gallery]
    inverse = [[(1.0 / n).astype(np.float32) for n in part] for part in gallery_norms]
    width = max(part[0].shape[1] for part in space.query)
    # screened values are sums of `width` rounded products of unit vectors (Higham 2002, eq. 3.5), plus a few roundings
    slack = float(1.01 * (width + len(space.query) + 12) * 2.0**-24)
    # 12 bytes a cell for the products and 28 a survivor, whose number ties can drive up to all cells
    step = max(1, min(len(rows), int(memory_mb * 2**20 / (space.n_gallery * 40 + width * 16 + 1))))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        parts = [np.ascontiguousarray(part[view][block], dtype=np.float32) for part in space.query]
        query_norms = [norms(part) for part in parts]
        screen = _screen(parts, query_norms, space.gallery, inverse)
        counts, cut = count_survivors(screen, query_group[block], gallery_group, k, slack)
        ends = np.concatenate([[0], np.cumsum(counts)])
        pair_query, pair_gallery = survivors(screen, query_group[block], gallery_group, cut, ends)
        exact = _exact(parts, query_norms, space.gallery, gallery_norms, pair_query, pair_gallery)
        keep_best(exact, pair_gallery, ends, k, index[start : start + step], similarity[start : start + step])
        if progress is not None:
            progress(len(block))
    return Neighbours(index, similarity)


def pair_similarities(
    space: Space, view: int, query_rows: np.ndarray, pair_query: np.ndarray, pair_gallery: np.ndarray
) -> np.ndarray:
    """Compute exact similarities of given pairs.

    Parameters
    ----------
    space : Space
    view : int
        Which query view.
    query_rows : (n,) int array
        Rows of `space.query` that `pair_query` counts in.
    pair_query, pair_gallery : (p,) int arrays
        Positions in `query_rows`, and gallery rows.

    Returns
    -------
    (p,) float32 array
    """
    parts = [np.ascontiguousarray(part[view][query_rows], dtype=np.float32) for part in space.query]
    gallery_norms = [[norms(a) for a in part] for part in space.gallery]
    return _exact(parts, [norms(p) for p in parts], space.gallery, gallery_norms, pair_query, pair_gallery)


def _screen(
    parts: list[np.ndarray], query_norms: list[np.ndarray], gallery: tuple[Views, ...], inverse: list[list[np.ndarray]]
) -> np.ndarray:
    """(queries, gallery) float32 similarities, right to within the slack."""
    best = np.empty((0, 0), dtype=np.float32)
    units = [(part / n[:, None]).astype(np.float32) for part, n in zip(parts, query_norms, strict=True)]
    for v in range(len(gallery[0])):
        total = units[0] @ gallery[0][v].T
        total *= inverse[0][v]
        for part in range(1, len(gallery)):
            product = units[part] @ gallery[part][v].T
            product *= inverse[part][v]
            total += product
        if len(gallery) > 1:
            total *= np.float32(1.0 / len(gallery))
        best = total if v == 0 else np.maximum(best, total, out=best)
    return best


def _exact(
    parts: list[np.ndarray],
    query_norms: list[np.ndarray],
    gallery: tuple[Views, ...],
    gallery_norms: list[list[np.ndarray]],
    pair_query: np.ndarray,
    pair_gallery: np.ndarray,
) -> np.ndarray:
    best = np.full(len(pair_query), -np.inf)
    for v in range(len(gallery[0])):
        total = np.zeros(len(pair_query))
        for part, views, q_norm, g_norm in zip(parts, gallery, query_norms, gallery_norms, strict=True):
            add_cosines(part, views[v], q_norm, g_norm[v], pair_query, pair_gallery, total)
        best = np.maximum(best, total)
    return (best / len(gallery)).astype(np.float32)


def similarities(
    space: Space, view: int, query_rows: np.ndarray, gallery_rows: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Screen similarities of some queries with some gallery photos in float32.

    Parameters
    ----------
    space : Space
    view : int
        Which query view.
    query_rows : (n,) int array
    gallery_rows : (m,) int array, optional
        All by default.

    Returns
    -------
    similarity : (n, m) float32 array
    slack : float
        The most by which any of them is off.
    """
    rows = np.arange(space.n_gallery) if gallery_rows is None else gallery_rows
    parts = [np.ascontiguousarray(part[view][query_rows], dtype=np.float32) for part in space.query]
    gallery = tuple(tuple(np.asarray(a[rows]) for a in part) for part in space.gallery)
    inverse = [[(1.0 / norms(a)).astype(np.float32) for a in part] for part in gallery]
    width = max(part[0].shape[1] for part in space.query)
    slack = float(1.01 * (width + len(space.query) + 12) * 2.0**-24)
    return _screen(parts, [norms(part) for part in parts], gallery, inverse), slack
