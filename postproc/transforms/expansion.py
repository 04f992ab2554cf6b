"""Query expansion and database augmentation: a vector moves towards its nearest gallery vectors.

Alpha query expansion (Radenovic, Tolias and Chum 2019, "Fine-tuning CNN image retrieval with no human annotation")
replaces a query by the normalised mean of itself and its k nearest gallery vectors, each weighted by its similarity
to the power of alpha. Database augmentation (Arandjelovic and Zisserman 2012, "Three things everyone should know to
improve object retrieval") does the same to every gallery vector with its gallery neighbours. Only gallery photos are
ever mixed in: no query helps another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.search import NOBODY, Neighbours, Progress, Space, Views, pair_similarities, top_k

MAX_NEIGHBOURS = 64
MAX_ALPHA = 10.0
# vectors worked on at a time, in float64: beside the arrays that come and go, a handful of such blocks is all there is
_BLOCK = 1024

# (photos, width) and (part, view) to an empty float32 array: in memory, or a file
Allocate: TypeAlias = Callable[[tuple[int, int], int, int], np.ndarray]


@dataclass(frozen=True)
class Expansion:
    """How far vectors move towards their neighbours.

    Attributes
    ----------
    k : int
        How many neighbours, 1 to 64.
    alpha : float
        A neighbour weighs max(similarity, 0)**alpha, the vector itself 1; 0 to 10. With 0 all weigh the same.
    """

    k: int
    alpha: float

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= MAX_NEIGHBOURS:
            raise FinblendError(f"1 <= k <= {MAX_NEIGHBOURS} must hold, but got k={self.k}")
        if not (math.isfinite(self.alpha) and 0 <= self.alpha <= MAX_ALPHA):
            raise FinblendError(f"0 <= alpha <= {MAX_ALPHA:g} must hold, but got alpha={self.alpha}")

    def weights(self, similarity: np.ndarray) -> np.ndarray:
        """(n, k) float64 weights of neighbours, from their similarities; 0 where there is none (-inf).

        >>> Expansion(2, 3.0).weights(np.array([[0.5, -0.2], [1.0, -np.inf]])).tolist()
        [[0.125, 0.0], [1.0, 0.0]]
        """
        is_present = np.isfinite(similarity)
        clipped = np.clip(np.where(is_present, similarity, 0.0), 0.0, 1.0).astype(np.float64)
        return np.where(is_present, clipped**self.alpha, 0.0)


def gallery_neighbours(
    space: Space, k: int, rows: np.ndarray, view: int = 0, progress: Progress | None = None
) -> Neighbours:
    """Find the k nearest other gallery photos of gallery photos, exactly.

    Parameters
    ----------
    space : Space
        Its queries have no say.
    k : int
    rows : (m,) int array
        The photos that make up the gallery; no others are looked at.
    view : int
        Of the photos whose neighbours are searched; the best view of the other photo counts, as in `top_k`.
    progress : callable, optional

    Returns
    -------
    Neighbours
        Of `rows`.
    """
    inside = np.zeros(space.n_gallery, dtype=np.int32)
    inside[rows] = 1
    near = top_k(
        Space(space.gallery, space.gallery),
        k + 1,
        view=view,
        query_rows=rows,
        query_group=np.zeros(space.n_gallery, dtype=np.int32),
        gallery_group=inside,
        progress=progress,
    )
    # a photo is nearest to itself, but equals of it may have pushed it back, or out
    is_self = near.index == np.asarray(rows)[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    shape = (len(near.index), k)
    return Neighbours(near.index[~is_self].reshape(shape), near.similarity[~is_self].reshape(shape))


def expand_queries(
    space: Space, near: Sequence[Neighbours], rows: np.ndarray, expansion: Expansion, allocate: Allocate | None = None
) -> Space:
    """Move queries towards their nearest gallery photos.

    Parameters
    ----------
    space : Space
    near : sequence of Neighbours
        By query view: of `rows`, at least `expansion.k` places each.
    rows : (n,) int array
        The queries to move; others stay as they are.
    expansion : Expansion
    allocate : callable, optional
        Makes the new arrays, which are as large as those of the queries; in memory by default.

    Returns
    -------
    Space
        The gallery is the same; moved queries are of length 1.
    """
    return Space(_moved(space.query, space, near, rows, expansion, allocate), space.gallery)


def augment_gallery(
    space: Space, near: Sequence[Neighbours], rows: np.ndarray, expansion: Expansion, allocate: Allocate | None = None
) -> Space:
    """Move gallery photos towards their gallery neighbours, all at once.

    Parameters
    ----------
    space : Space
    near : sequence of Neighbours
        By view: of `rows`, as `gallery_neighbours` finds them.
    rows, expansion, allocate
        As of `expand_queries`, for gallery photos.
    """
    return Space(space.query, _moved(space.gallery, space, near, rows, expansion, allocate))


def _moved(
    arrays: tuple[Views, ...],
    space: Space,
    near: Sequence[Neighbours],
    rows: np.ndarray,
    expansion: Expansion,
    allocate: Allocate | None,
) -> tuple[Views, ...]:
    if len(near) != len(arrays[0]):
        raise FinblendError(f"neighbours of every view are needed: {len(arrays[0])} views, got {len(near)}")
    out = []
    for p, part in enumerate(arrays):
        views = []
        for v, array in enumerate(part):
            new = np.empty(array.shape, np.float32) if allocate is None else allocate(array.shape, p, v)
            for start in range(0, len(array), _BLOCK):
                new[start : start + _BLOCK] = array[start : start + _BLOCK]
            views.append(new)
        out.append(tuple(views))
    rows = np.asarray(rows)
    for v, neighbours in enumerate(near):
        if neighbours.index.shape[1] < expansion.k:
            raise FinblendError(f"{expansion.k} neighbours are needed, got {neighbours.index.shape[1]}")
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            index = neighbours.index[block, : expansion.k]
            weights = expansion.weights(neighbours.similarity[block, : expansion.k])
            seen = _nearest_views(Space(arrays, space.gallery), v, rows[block], index)
            for p, part in enumerate(arrays):
                unit = _unit(part[v][rows[block]])
                total = unit.copy()
                for j in range(index.shape[1]):
                    other = np.zeros_like(total)
                    for g, gallery in enumerate(space.gallery[p]):
                        use = np.flatnonzero((seen[:, j] == g) & (weights[:, j] > 0))
                        other[use] = _unit(gallery[index[use, j]])
                    total += weights[:, j, None] * other
                # neighbours that point away may cancel a vector: then it stays
                length = np.linalg.norm(total, axis=1, keepdims=True)
                out[p][v][rows[block]] = np.where(length > 1e-6, total / np.maximum(length, 1e-6), unit)
    return tuple(out)


def _nearest_views(space: Space, view: int, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """(n, k) which view of each neighbour is the nearest: the one that made it a neighbour."""
    best = np.zeros(index.shape, dtype=np.int64)
    if len(space.gallery[0]) == 1:
        return best
    query, at = np.nonzero(index != NOBODY)
    similarity = np.stack(
        [
            pair_similarities(
                Space(space.query, tuple((part[g],) for part in space.gallery)), view, rows, query, index[query, at]
            )
            for g in range(len(space.gallery[0]))
        ]
    )
    best[query, at] = similarity.argmax(axis=0)
    return best


def _unit(array: np.ndarray) -> np.ndarray:
    wide = np.asarray(array, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))
