"""k-reciprocal re-ranking, sparse, one query at a time.

Zhong, Zheng, Cao and Li 2017, "Re-ranking person re-identification with k-reciprocal encoding".

Two photos are likely of one individual if each is among the nearest of the other, and so are the photos around them.
Every photo p is encoded by its k1-reciprocal neighbours R(p, k1), its own k1 nearest that have p among theirs; they are
joined by those of a neighbour h's R(h, k1 / 2) of which two thirds are in R(p, k1) already. A neighbour at distance d,
1 less the similarity, weighs exp(-d), and all of a photo sum to 1. Encodings are averaged over the k2 nearest, the
photo included. The Jaccard distance of two encodings is 1 less the sum of the smaller weights over that of the larger.

In the paper all queries sit in the pool together. Here the pool of a query is the gallery and the query alone: an
answer does not depend on who else is asked about. As the authors' code does, p itself is in R(p, k), beside its k
nearest others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.search import MEMORY_MB, NOBODY, Neighbours, Progress, Space, pair_similarities, similarities
from postproc.transforms.expansion import gallery_neighbours
from postproc.transforms.reciprocal_kernels import Pool, jaccard
from postproc.transforms.reciprocal_sets import gallery_pairs, query_pairs

MAX_K1 = 64
# queries whose pairs are held at a time
_BLOCK = 1024


@dataclass(frozen=True)
class Reciprocal:
    """What k-reciprocal re-ranking is tuned by.

    Attributes
    ----------
    k1 : int
        How many nearest may be reciprocal, 2 to 64.
    k2 : int
        Over how many nearest, the photo itself counted, encodings are averaged; 1 (not at all) to k1.
    weight : float
        Lambda: the share of the plain similarity in the result, above 0, up to 1 (nothing changes).
    """

    k1: int
    k2: int
    weight: float

    def __post_init__(self) -> None:
        whole = all(isinstance(k, int) and not isinstance(k, bool) for k in (self.k1, self.k2))
        if not whole or not 2 <= self.k1 <= MAX_K1 or not 1 <= self.k2 <= self.k1:
            raise FinblendError(f"2 <= k1 <= {MAX_K1} and 1 <= k2 <= k1 must hold, but got k1={self.k1}, k2={self.k2}")
        if not 0 < self.weight <= 1:
            raise FinblendError(f"0 < lambda <= 1 must hold, but got lambda={self.weight}")

    @property
    def half(self) -> int:
        """k1 / 2, rounded to even as the authors' code does, at least 1."""
        return max(1, round(self.k1 / 2))


@dataclass(frozen=True)
class GalleryLists:
    """The gallery among itself: what every query's pool is made of.

    Attributes
    ----------
    near : Neighbours
        (m, k1): the nearest others of each gallery photo; nobody where a row is not in the gallery.
    start, other, similarity : (m + 1,) int64, (pairs,) int32, (pairs,) float32 arrays
        Similarities of pairs that may weigh in an encoding; at most k1 (k1 / 2 + 1) a photo, whatever the
        size of the gallery.
    """

    near: Neighbours
    start: np.ndarray
    other: np.ndarray
    similarity: np.ndarray


def gallery_lists(
    space: Space, k1: int, rows: np.ndarray, view: int = 0, progress: Progress | None = None
) -> GalleryLists:
    """Find the gallery's own neighbours and similarities, once for all queries.

    Parameters
    ----------
    space : Space
    k1 : int
    rows : (r,) int array
        The photos that make up the gallery.
    view : int
        Query view that the photos are shown in.
    progress : callable, optional
    """
    near = gallery_neighbours(space, k1, rows, view, progress)
    index = np.full((space.n_gallery, k1), NOBODY, dtype=np.int32)
    similarity = np.full((space.n_gallery, k1), -np.inf, dtype=np.float32)
    index[rows], similarity[rows] = near.index, near.similarity
    start, other = gallery_pairs(index, similarity, k1, Reciprocal(k1, 1, 1.0).half)
    photo = np.repeat(np.arange(space.n_gallery), np.diff(start))
    values = _among_gallery(space, view, photo, other)
    return GalleryLists(Neighbours(index, similarity), start, other, values)


def reciprocal_similarities(
    space: Space,
    near: Neighbours,
    lists: GalleryLists,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    wanted: Sequence[Reciprocal],
    view: int = 0,
    memory_mb: int = MEMORY_MB,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Compute 1 less the Jaccard distance of queries and their nearest photos.

    With several query views, a photo's similarity to the query is that of the query, in this view, to the photo.

    Parameters
    ----------
    space : Space
    near : Neighbours
        Of `query_rows`, at least k1 of each: the photos that are compared.
    lists : GalleryLists
        Of the same view, for the same k1.
    query_rows : (n,) int array
    gallery_rows : (r,) int array
        As `lists` was made with.
    wanted : sequence of Reciprocal
        With the same k1; the weight has no say here.
    view : int
    memory_mb : int
        Bound on the similarities that are looked through at a time, in MiB. What is kept beside them is linear in
        the neighbours kept.
    progress : callable, optional
        Called with the number of queries done.

    Returns
    -------
    list of (n, k) float32 arrays in [0, 1]
        One for each of `wanted`, in the places of `near`; 0 where there is nobody.
    """
    k1 = lists.near.index.shape[1]
    if any(reciprocal.k1 != k1 for reciprocal in wanted) or near.index.shape[1] < k1:
        raise FinblendError(
            f"lists and at least as many neighbours for the k1 asked for are needed: lists of {k1}, "
            f"{near.index.shape[1]} neighbours, k1={[reciprocal.k1 for reciprocal in wanted]}"
        )
    query_rows, gallery_rows = np.asarray(query_rows), np.sort(gallery_rows)
    out = [np.zeros(near.index.shape, dtype=np.float32) for _ in wanted]
    step = max(1, min(_BLOCK, memory_mb * 2**20 // (8 * max(1, len(gallery_rows)))))
    half = Reciprocal(k1, 1, 1.0).half
    for first in range(0, len(query_rows), step):
        block = slice(first, first + step)
        # a copy: the compiled loops are made once, not again for arrays that may not be written
        rows, index = query_rows[block], np.array(near.index[block])
        entered = _entered(space, view, rows, gallery_rows, lists.near.similarity[:, -1])
        paired_start, paired, between_start, between = query_pairs(
            lists.near.index, lists.near.similarity, index, *entered, k1, half
        )
        asked = np.repeat(np.arange(len(rows)), np.diff(paired_start))
        paired_value = pair_similarities(space, view, rows, asked, paired)
        # the same pairs come again from query to query
        distinct, back = np.unique(between, return_inverse=True)
        value = _among_gallery(space, view, distinct // space.n_gallery, distinct % space.n_gallery)
        of_gallery = lists.start, lists.other, lists.similarity
        of_queries = paired_start, paired, paired_value, between_start, between, value[back]
        pool = Pool(lists.near.index, lists.near.similarity, index, *entered, *of_gallery, *of_queries)
        for reciprocal, result in zip(wanted, out, strict=True):
            jaccard(pool, k1, reciprocal.k2, half, result[block])
        if progress is not None:
            progress(len(rows))
    return out


def _entered(
    space: Space, view: int, rows: np.ndarray, gallery_rows: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whose lists each query enters, being nearer than the last there: start of each query's, photos, similarities."""
    values, slack = similarities(space, view, rows, gallery_rows)
    # float32 sums, and the rounding of the exact similarity itself
    query, at = np.nonzero(values >= last[gallery_rows] - (slack + 1e-6))
    photo = gallery_rows[at]
    exact = pair_similarities(space, view, rows, query, photo)
    inside = exact > last[photo]
    start = np.searchsorted(query[inside], np.arange(len(rows) + 1))
    return start, photo[inside].astype(np.int32), exact[inside]


def _among_gallery(space: Space, view: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return pair_similarities(Space(space.gallery, space.gallery), view, np.arange(space.n_gallery), left, right)
