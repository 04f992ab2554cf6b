"""Refinement: compute what a screen let through, and write the answer."""

from __future__ import annotations

import numpy as np

from postproc.neighbours.exact import Search, exact_pairs
from postproc.neighbours.jobs import Job
from postproc.neighbours.refine_kernels import keep_best, list_candidates, reaching
from postproc.neighbours.screen_base import Buffers, Products
from postproc.neighbours.screen_kernels import LOST

# of a candidate while it is computed: its query, photo, number, similarity and the copies sorted by photo
_BYTES = 72
_ABOVE_ALL = 1 << 31


def refine(
    search: Search,
    job: Job,
    products: Products,
    queries: np.ndarray,
    window: np.ndarray,
    along: np.ndarray,
    buffers: Buffers,
) -> None:
    """Compute candidates exactly and write the k best.

    The k best of the screen come first. Their k-th similarity carries no error, so that of the others only those are
    computed that may reach it.

    Parameters
    ----------
    search : Search
    job : Job
    products : Products
        Which took the screened values.
    queries : (n,) int array
        Positions in `search.rows`.
    window, along : (n,) float64 arrays
        Bound on the distance of a sum from the similarity less u.c, and u.c; see `postproc.neighbours.screen`.
    buffers : Buffers
        Whose cut is the k-th largest key.
    """
    count = np.where(buffers.count == LOST, 0, buffers.count)
    at_once = max(1, search.memory // 2 // _BYTES)
    ends = np.cumsum(count)
    first = 0
    while first < len(queries):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + at_once, side="right")))
        at, start = slice(first, last), np.concatenate([[0], ends[first:last] - before])
        block, part, kth = queries[at], buffers.part(at), buffers.cut[at]
        exact = np.full(start[-1], -np.inf, dtype=np.float32)
        _compute(search, job, block, part, start, kth, np.full(len(kth), _ABOVE_ALL, dtype=np.int64), exact)
        low = reaching(exact, start, search.k, along[at], window[at], products.rounding, products.dropped_bits, kth)
        _compute(search, job, block, part, start, low, kth, exact)
        keep_best(exact, part.place, start, job.gallery, search.k, block, search.index, search.similarity)
        first = last


def _compute(
    search: Search,
    job: Job,
    queries: np.ndarray,
    buffers: Buffers,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    exact: np.ndarray,
) -> None:
    """Compute the candidates with low <= key < high exactly."""
    query, place, number = list_candidates(buffers.keys, buffers.place, start, low, high)
    rows, norm = search.rows[queries], [of[queries] for of in search.query_norm]
    photo = job.gallery[place]
    exact[number] = exact_pairs(search.space, search.view, rows, norm, search.gallery_norm, query, photo)
