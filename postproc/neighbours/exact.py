"""Exact similarities of chosen pairs, and the exact answer where no screen can choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from postproc.compiled import as_read
from postproc.neighbours.exact_kernels import (
    add_cosine_table,
    add_cosines,
    compare_rows,
    keep_best_of_table,
    mix_hashes,
)
from postproc.neighbours.space import Space, norms

# gallery rows whose pairs are computed together: few enough to stay in the cache, so many that a query has several
_NEAR = 2048
# columns of a table of exact similarities that are computed at a time
_STRIP = 1024


@dataclass(frozen=True)
class Search:
    """What is searched for, and where the answer goes.

    Attributes
    ----------
    space : Space
    view : int
        Query view.
    rows : (n,) int array
        Rows of the space's queries.
    query_norm : list of (n,) float64 arrays
        By part, of `rows`.
    gallery_norm : list of lists of (m,) float64 arrays
        By part and view.
    query_group, gallery_group : (n,), (m,) int arrays
        Photos of the query's own group are passed over.
    k : int
    memory : int
        Bytes.
    index, similarity : (n, k) arrays
        The answer.
    """

    space: Space
    view: int
    rows: np.ndarray
    query_norm: list[np.ndarray]
    gallery_norm: list[list[np.ndarray]]
    query_group: np.ndarray
    gallery_group: np.ndarray
    k: int
    memory: int
    index: np.ndarray
    similarity: np.ndarray

    @property
    def n_gallery(self) -> int:
        """Number of gallery photos."""
        return self.space.n_gallery

    @property
    def width(self) -> int:
        """Numbers a photo has over all parts."""
        return sum(part[0].shape[1] for part in self.space.gallery)


def lengths(
    space: Space, view: int, rows: np.ndarray, photos: np.ndarray | None = None
) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Norms of queries by part, and of the gallery by part and view: known, at least, of those among `photos`."""
    photos = np.arange(space.n_gallery) if photos is None else photos
    query, gallery = [], []
    for p, (of_queries, views) in enumerate(zip(space.query, space.gallery, strict=True)):
        gallery.append([_norms(space, (p, v), array, photos) for v, array in enumerate(views)])
        # where queries are the gallery their norms are, too
        place = next(((p, v) for v, array in enumerate(views) if array is of_queries[view]), (p, -1 - view))
        query.append(_norms(space, place, of_queries[view], rows)[rows])
    return query, gallery


def _norms(space: Space, place: tuple[int, int], array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Norms that the space remembers, with those of some rows among them; NaN where nobody has asked yet."""
    known = space.norms.get(place)
    if known is None:
        known = space.norms[place] = np.full(len(array), np.nan)
    todo = rows[np.isnan(known[rows])]
    if len(todo):
        known[todo] = norms(array, todo)
    return known


def sorted_by_photo(photo: np.ndarray, n_gallery: int) -> np.ndarray:
    """Order in which photos that are near in memory come together: most of the time would go into fetching them."""
    near = photo // _NEAR
    return np.argsort(near.astype(np.uint16) if n_gallery < _NEAR << 16 else near, kind="stable")


def exact_pairs(
    space: Space,
    view: int,
    rows: np.ndarray,
    query_norm: list[np.ndarray],
    gallery_norm: list[list[np.ndarray]],
    pair_query: np.ndarray,
    pair_gallery: np.ndarray,
) -> np.ndarray:
    """(p,) float32 similarities of pairs; `pair_query` counts in `rows`."""
    order = sorted_by_photo(pair_gallery, space.n_gallery)
    pair_query, pair_gallery = pair_query[order], pair_gallery[order]
    best = np.empty(0)
    for v in range(len(space.gallery[0])):
        total = np.zeros(len(pair_query))
        for query, gallery, q_norm, g_norm in zip(space.query, space.gallery, query_norm, gallery_norm, strict=True):
            add_cosines(
                as_read(query[view]), as_read(gallery[v]), rows, q_norm, g_norm[v], pair_query, pair_gallery, total
            )
        best = total if v == 0 else np.maximum(best, total, out=best)
    best /= len(space.gallery)
    out = np.empty(len(order), dtype=np.float32)
    out[order] = best
    return out


def search_exactly(search: Search, queries: np.ndarray, gallery: np.ndarray, *, twins: bool) -> None:
    """Compute every similarity of some queries with a gallery, and keep the best.

    Parameters
    ----------
    search : Search
    queries : (n,) int array
        Positions in `search.rows`.
    gallery : (m,) int32 array
        Gallery rows, ascending.
    twins : bool
        Look for equal photos first and compute them once: they are why a screen fails.
    """
    first, twin = _distinct(search, gallery) if twins else (gallery, np.arange(len(gallery), dtype=np.int32))
    views = range(len(search.space.gallery[0]))
    # of each cell: two float64 numbers in a strip of the table, and a float32 in the whole
    height = int(max(1, min(256, search.memory // 2 // (4 * len(first) + 16 * _STRIP))))
    for start in range(0, len(queries), height):
        block = queries[start : start + height]
        rows = search.rows[block]
        table = np.empty((len(block), len(first)), dtype=np.float32)
        for left in range(0, len(first), _STRIP):
            columns = first[left : left + _STRIP]
            best = np.empty((0, 0))
            for v in views:
                total = np.zeros((len(block), len(columns)))
                for p, (query, part) in enumerate(zip(search.space.query, search.space.gallery, strict=True)):
                    q_norm, g_norm = search.query_norm[p][block], search.gallery_norm[p][v]
                    add_cosine_table(query[search.view], part[v], rows, columns, q_norm, g_norm, total)
                best = total if v == 0 else np.maximum(best, total, out=best)
            table[:, left : left + _STRIP] = best / len(search.space.gallery)
        keep_best_of_table(
            table,
            twin,
            gallery,
            search.query_group[block],
            search.gallery_group,
            search.k,
            search.index,
            search.similarity,
            block,
        )


def _distinct(search: Search, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that stand for all their equals, and for each row the place of the one that stands for it."""
    hashes = np.zeros(len(gallery), dtype=np.uint64)
    arrays = [array for part in search.space.gallery for array in part]
    for array in arrays:
        mix_hashes(array, gallery, hashes)
    _, first, twin = np.unique(hashes, return_index=True, return_inverse=True)
    equal = np.ones(len(gallery), dtype=np.bool_)
    for array in arrays:
        compare_rows(array, gallery, gallery[first[twin]], equal)
    # a row that shares another's hash but not its numbers stands for itself
    odd = np.flatnonzero(~equal)
    twin[odd] = len(first) + np.arange(len(odd))
    return gallery[np.concatenate([first, odd])], twin.astype(np.int32)
