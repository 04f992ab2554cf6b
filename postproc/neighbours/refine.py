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
        start = np.concatenate([[0], ends[first:last] - before])
        at = slice(first, last)
        _refine(search, job, products, queries[at], window[at], along[at], buffers.part(at), start)
        first = last


def _refine(
    search: Search,
    job: Job,
    products: Products,
    queries: np.ndarray,
    window: np.ndarray,
    along: np.ndarray,
    buffers: Buffers,
    start: np.ndarray,
) -> None:
    exact = np.full(start[-1], -np.inf, dtype=np.float32)
    norm = [of[queries] for of in search.query_norm]
    rows = search.rows[queries]

    def compute(low: np.ndarray, high: np.ndarray) -> None:
        query, place, number = list_candidates(buffers.keys, buffers.place, start, low, high)
        photo = job.gallery[place]
        exact[number] = exact_pairs(search.space, search.view, rows, norm, search.gallery_norm, query, photo)

    kth = buffers.cut
    compute(kth, np.full(len(kth), _ABOVE_ALL, dtype=np.int64))
    low = reaching(exact, start, search.k, along, window, products.rounding, products.dropped_bits, kth)
    compute(low, kth)
    keep_best(exact, buffers.place, start, job.gallery, search.k, queries, search.index, search.similarity)
