"""From candidates to lists: their exact similarities, and the best of them.

First those that look best are computed, as many as are wanted. What the last of them reaches leaves out most of the
others: whoever stays below it by more than the window cannot be better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from postproc.compiled import as_read
from postproc.neighbours.exact import sorted_by_photo
from postproc.neighbours.exact_kernels import add_cosines
from postproc.neighbours.refine_kernels import flatten, keep_best, mark_rest
from postproc.neighbours.screen import Column
from postproc.neighbours.screen_base import Candidates, Wanted
from postproc.neighbours.screen_kernels import LOST
from postproc.neighbours.space import NOBODY, Neighbours

# of a candidate while it is computed: query, photo, place, sums and their sorted copies
_BYTES = 112
# of a candidate: query, place, the most it may be, whether it is of the query's class, computed first, or thereafter
_KINDS = (np.int32, np.int32, np.float32, np.bool_, np.bool_, np.bool_)


@dataclass(frozen=True)
class ExactLists:
    """The lists of some queries.

    Attributes
    ----------
    nearest, same_class : Neighbours
    by_column, same_class_by_column : (columns, n, k) float32 arrays
        Their similarities in every column; no columns where the list is by one alone, NaN where it was lost.
    lost : (n,) bool array
        Queries that the screen could not answer.
    """

    nearest: Neighbours
    same_class: Neighbours
    by_column: np.ndarray
    same_class_by_column: np.ndarray
    lost: np.ndarray

    @classmethod
    def empty(cls, n: int, wanted: Wanted) -> ExactLists:
        """Lists of nobody."""
        near, same = (_nobody(n, k) for k in (wanted.k, wanted.k_class))
        by, by_same = (np.full((wanted.n_several, n, k), np.nan, dtype=np.float32) for k in (wanted.k, wanted.k_class))
        return cls(near, same, by, by_same, np.zeros(n, dtype=np.bool_))

    def own_class(self, no_classes: bool) -> Neighbours:
        """Those of the own class: all where there are no classes."""
        return self.nearest if no_classes else self.same_class

    def put(self, at: np.ndarray, found: ExactLists) -> None:
        """Take over the lists of some queries."""
        for mine, other in ((self.nearest, found.nearest), (self.same_class, found.same_class)):
            mine.index[at], mine.similarity[at] = other.index, other.similarity
        self.by_column[:, at], self.same_class_by_column[:, at] = found.by_column, found.same_class_by_column
        self.lost[at] = found.lost


def exact_lists(
    columns: Sequence[Column],
    wanted: Wanted,
    candidates: Candidates,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    class_start: np.ndarray,
    class_stop: np.ndarray,
    memory: int,
) -> ExactLists:
    """Compute candidates exactly, and keep the best.

    Parameters
    ----------
    columns : sequence of Column
        Of the n queries.
    wanted : Wanted
    candidates : Candidates
        Of n queries.
    query_rows : (n,) int array
        Rows of the spaces' queries.
    gallery_rows : (m,) int32 array
        Gallery row of each place.
    class_start, class_stop : (n,) int64 arrays
    memory : int
        Bytes.
    """
    n, used = len(query_rows), np.flatnonzero(wanted.weights).tolist()
    lost = candidates.count == LOST
    count = np.where(lost, 0, candidates.count)
    ends = np.cumsum(count)
    found = ExactLists.empty(n, wanted)
    found.lost[:] = lost
    lists = [(found.nearest, found.by_column), (found.same_class, found.same_class_by_column)]
    at_once = max(1, memory // 2 // _BYTES)
    first = 0
    while first < n:
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + at_once, side="right")))
        at = slice(first, last)
        start = np.concatenate([[0], ends[at] - before])
        query, place, upper, in_class, is_first, is_left = (np.empty(start[-1], kind) for kind in _KINDS)
        some, k = candidates.part(at), (wanted.k, wanted.k_class)
        flatten(
            count[at],
            some.high,
            some.low,
            some.place,
            class_start[at],
            class_stop[at],
            *k,
            start,
            query,
            place,
            upper,
            in_class,
            is_first,
        )
        photo = gallery_rows[place]
        value, by_column = np.empty(len(photo), np.float32), np.empty((len(used), len(photo)), np.float32)
        own = [columns[c].of(at) for c in used]
        for chosen in (is_first, is_left):
            if chosen is is_left:
                mark_rest(start, value, upper, some.window + some.constant, in_class, is_first, *k, is_left)
            which = np.flatnonzero(chosen)
            value[which], by_column[:, which] = _similarities(own, query_rows[at], query[which], photo[which])
        is_known = is_first | is_left
        for (near, by), chosen in zip(lists, (is_known, is_known & in_class), strict=True):
            width = near.index.shape[1]
            if width:
                number = np.full((last - first, width), NOBODY, dtype=np.int64)
                keep_best(start, photo, value, chosen, np.arange(first, last), number, near.index, near.similarity)
                if len(used) > 1:
                    is_there = number != NOBODY
                    for c, values in zip(used, by_column, strict=True):
                        by[c, at][is_there] = values[number[is_there]]
        first = last
    return found


def _nobody(n: int, k: int) -> Neighbours:
    return Neighbours(np.full((n, k), NOBODY, dtype=np.int32), np.full((n, k), -np.inf, dtype=np.float32))


def _similarities(
    columns: Sequence[Column], rows: np.ndarray, query: np.ndarray, photo: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Similarities of pairs by the mean of all columns' parts, and by each column; one summation order with `top_k`."""
    order = sorted_by_photo(photo, columns[0].space.n_gallery)
    query, photo = query[order], photo[order]
    parts = sum(len(column.space.gallery) for column in columns)
    total, by_column = np.empty(0), []
    for c, column in enumerate(columns):
        best = np.empty(0)
        space = column.space
        for v in range(column.n_views):
            alone = np.zeros(len(query))
            for p in range(len(space.gallery)):
                arrays = as_read(space.query[p][column.view]), as_read(space.gallery[p][v])
                norm = column.query_norm[p], column.gallery_norm[p][v]
                part = np.zeros(len(query))
                add_cosines(*arrays, rows, *norm, query, photo, part)
                alone += part
                if len(columns) > 1:
                    # by several columns there is one view: parts are added as if they were of one space
                    total = part if c == p == 0 else np.add(total, part, out=total)
            best = alone if v == 0 else np.maximum(best, alone, out=best)
        by_column.append(_back((best / len(space.gallery)).astype(np.float32), order))
    if len(columns) == 1:
        return by_column[0], by_column
    return _back((total / parts).astype(np.float32), order), by_column


def _back(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    out[order] = values
    return out
