"""Screening: which gallery photos may be among the k best, from products of rounded vectors, with certainty.

Where the certainty comes from
------------------------------
Let u be a query's unit vectors of all parts, each times P^(-1/2), one behind the other, and v a gallery photo's. Their
similarity is u.v. For one query, all photos rank the same by u.x with x = v - c, whatever the vector c: the centre of
the gallery makes x short where all cosines are large, and so makes every error below small. Only rounded vectors u', x'
are multiplied, and their product is summed in float32 and, in bfloat16, rounded once more. Then

    |u.x - u'.x'| <= |u - u'| |x| + |u'| |x - x'|                          (Cauchy-Schwarz; all four are known exactly)
    |u'.x' - sum| <= gamma |u'| |x'|,  gamma = r d 2^-24 / (1 - r d 2^-24)     (Higham 2002, eq. 3.5: any order)

with d the number of terms and r = 1 where sums round to nearest. Products of bfloat16 numbers are exact in float32. r
= 4 where they are cut off and aligned to the largest of a group, as on GPUs (Fasi, Higham, Mikaitis and Pranesh 2021).
Numbers below 2^-60 are rounded to zero, so that no product of two is subnormal; sums that are cost less than d 2^-126.
The similarity itself is a float64 sum rounded to float32: 2^-24 more. The sum of these is the query's *window* w.

Let c be the k-th largest product seen so far. Rounding keeps order, so the sums of k photos are at least c - 2^-8 |c|
and their similarities (less u.c, which is the same for all) at least c - 2^-8 |c| - w. A photo whose product is below
t = c - 2^-8 |c| - 2 w has a sum of t at most and a similarity below all of theirs: it is not among the k best, nor tied
with the last of them. The window grows when photos come that are longer, or lose more, than all before them: t is then
lowered by as much, for the error of the new ones is larger than it allows for. What is left is computed exactly, first
the k best of the screen. Their k-th similarity s is a better bound, for it carries no error: of the others, only those
that may reach s are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from postproc.neighbours.exact import Search
from postproc.neighbours.jobs import Job
from postproc.neighbours.refine import refine
from postproc.neighbours.screen_base import Buffers, Products, Tile
from postproc.neighbours.screen_cpu import Float32, aligned_zeros
from postproc.neighbours.screen_kernels import LOST, finish, lower_cuts, round_units
from postproc.neighbours.space import Space

_UNIT = 2.0**-24
# gallery photos rounded at a time, and room for candidates beyond the k best
_WIDE = 2048
_SPARE = 1024
_LEAST = -(1 << 31)


@dataclass(frozen=True)
class _Sizes:
    """How much is held at a time.

    Attributes
    ----------
    queries, photos, height : int
        Queries with their candidates, gallery photos, and queries in a tile.
    capacity : int
        Candidates of a query.
    padded : int
        Numbers of a rounded vector: hardware likes its length to be round.
    """

    queries: int
    photos: int
    height: int
    capacity: int
    padded: int


def _sizes(search: Search, job: Job, products: Products) -> _Sizes:
    padded = -(-search.width // 32) * 32
    item = 4 - products.dropped_bits // 8
    views = len(search.space.gallery[0])
    capacity = min(len(job.gallery), max(4 * search.k, search.k + _SPARE))
    a_query = padded * item + capacity * (item + 4) + 96
    left = search.memory - a_query
    height = products.queries_at_once
    photos = int(max(16, min(_WIDE, len(job.gallery), left // 4 // (views * padded * item + 2 * height * item + 64))))
    height = int(max(1, min(height, left // 4 // (2 * photos * item))))
    left -= photos * (views * padded * item + 2 * height * item + 64)
    return _Sizes(int(max(1, min(len(job.queries), left // a_query))), photos, height, capacity, padded)


def screen(search: Search, job: Job, products: Products, progress: Callable[[int], None]) -> np.ndarray:
    """Answer a job's queries.

    Parameters
    ----------
    search : Search
    job : Job
        With more than `search.k` gallery photos.
    products : Products
    progress : callable
        Called with the number of queries done.

    Returns
    -------
    (lost,) int array
        Positions of queries that this screen can't answer: too many photos are as good as the k-th, within the window.
    """
    sizes = _sizes(search, job, products)
    centre = _centre(search, job.gallery)
    lost = []
    for start in range(0, len(job.queries), sizes.queries):
        queries = job.queries[start : start + sizes.queries]
        lost.append(_answer(search, job, products, sizes, centre, queries, progress))
    return np.concatenate(lost)


def _centre(search: Search, gallery: np.ndarray) -> list[np.ndarray]:
    """By part, about the mean of the gallery's unit vectors, of all views, times P^(-1/2)."""
    sample = gallery[:: max(1, len(gallery) // 1024)][:1024]
    out = []
    for part, norm in zip(search.space.gallery, search.gallery_norm, strict=True):
        total = np.zeros(part[0].shape[1])
        for array, length in zip(part, norm, strict=True):
            for start in range(0, len(sample), 64):
                rows = sample[start : start + 64]
                total += (array[rows].astype(np.float64) / length[rows, None]).sum(axis=0)
        out.append((total / (len(sample) * len(part) * np.sqrt(len(search.space.gallery)))).astype(np.float32))
    return out


def _answer(
    search: Search,
    job: Job,
    products: Products,
    sizes: _Sizes,
    centre: list[np.ndarray],
    queries: np.ndarray,
    progress: Callable[[int], None],
) -> np.ndarray:
    """Answer some queries; returns the lost ones."""
    buffers, window, along = _candidates(search, job, products, sizes, centre, queries, progress)
    finish(
        search.k,
        window,
        products.rounding,
        products.dropped_bits,
        buffers.cut,
        buffers.count,
        buffers.keys,
        buffers.place,
    )
    refine(search, job, products, queries, window, along, buffers)
    return np.asarray(queries[buffers.count == LOST])


def _candidates(
    search: Search,
    job: Job,
    products: Products,
    sizes: _Sizes,
    centre: list[np.ndarray],
    queries: np.ndarray,
    progress: Callable[[int], None],
) -> tuple[Buffers, np.ndarray, np.ndarray]:
    """Candidates of some queries, their windows, and the products u.c."""
    n, m, views = len(queries), len(job.gallery), len(search.space.gallery[0])
    kind = np.int16 if products.dropped_bits else np.int32
    rounded = aligned_zeros((n, sizes.padded), kind)
    size, off, along = _round_queries(search, products, queries, centre, rounded)
    photos = aligned_zeros((views, sizes.photos, sizes.padded), kind)
    buffers = Buffers(
        np.empty((n, sizes.capacity), dtype=kind),
        np.empty((n, sizes.capacity), dtype=np.int32),
        np.full(n, _LEAST, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
    )
    query_group = search.query_group[queries]
    largest, window = np.zeros(2), np.zeros(n)
    done = 0
    for first in range(0, m, sizes.photos):
        rows = job.gallery[first : first + sizes.photos]
        largest = np.maximum(largest, _round_photos(search, products, rows, centre, photos))
        before, window = window, _window(products, sizes.padded, off, size, *largest)
        # cuts come from photos of earlier tiles; those of this one may be further off than they allow for
        lower_cuts(buffers.cut, window - before, _LEAST, products.dropped_bits)
        gallery_group = search.gallery_group[rows]
        for start in range(0, n, sizes.height):
            at = slice(start, start + sizes.height)
            tile = Tile(rounded[at], photos[:, : len(rows)], first, query_group[at], gallery_group, window[at])
            products.keep(tile, search.k, buffers.part(at))
        lost = (buffers.count == LOST).all()
        reached = n if lost else n * (first + len(rows)) // m
        if reached > done:
            progress(reached - done)
        done = reached
        if lost:
            break
    return buffers, window, along


def _window(
    products: Products, terms: int, off: np.ndarray, size: np.ndarray, photo_size: float, photo_off: float
) -> np.ndarray:
    """Bound on the distance of a sum from the similarity less u.c, for each query; see above."""
    units = products.roundings_a_term * (terms + 2) * _UNIT
    summing = units / (1 - units) * size * (photo_size + photo_off)
    exact = 1.001 * _UNIT + (terms + 64) * 2.0**-52
    return np.asarray(off * photo_size + size * photo_off + summing + exact)


def _round_queries(
    search: Search, products: Products, queries: np.ndarray, centre: list[np.ndarray], out: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths after rounding, lengths of what rounding took, products with the centre."""
    arrays, norms = [part[search.view] for part in search.space.query], [norm[queries] for norm in search.query_norm]
    size2, off2, along = _round(arrays, norms, search.rows[queries], centre, 0.0, products.dropped_bits, out)
    off = np.sqrt(off2) * (1 + 1e-9)
    return np.sqrt(size2) * (1 + 1e-9) + off, off, along


def _round_photos(
    search: Search, products: Products, rows: np.ndarray, centre: list[np.ndarray], out: np.ndarray
) -> tuple[float, float]:
    """Largest length before rounding, and largest of what rounding took, over all views."""
    largest = (0.0, 0.0)
    for v in range(len(out)):
        arrays, norms = [part[v] for part in search.space.gallery], [part[v][rows] for part in search.gallery_norm]
        size2, off2, _ = _round(arrays, norms, rows, centre, 1.0, products.dropped_bits, out[v, : len(rows)])
        largest = max(largest[0], float(np.sqrt(size2.max()))), max(largest[1], float(np.sqrt(off2.max())))
    return largest[0] * (1 + 1e-9), largest[1] * (1 + 1e-9)


def _round(
    arrays: list[np.ndarray],
    norms: list[np.ndarray],
    rows: np.ndarray,
    centre: list[np.ndarray],
    subtracted: float,
    dropped_bits: int,
    out: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Round unit vectors of all parts to `out`; squared lengths before and of the rest, products with the centre."""
    size2, off2, along = (np.zeros(len(rows)) for _ in range(3))
    left = 0
    for array, norm, middle in zip(arrays, norms, centre, strict=True):
        at = out[:, left : left + len(middle)]
        scale = 1.0 / (norm * np.sqrt(len(arrays)))
        round_units(array, rows, scale, middle, subtracted, dropped_bits, at, size2, off2, along)
        left += len(middle)
    return size2, off2, along


def unit_products(
    space: Space,
    view: int,
    rows: np.ndarray,
    photos: np.ndarray,
    query_norm: list[np.ndarray],
    gallery_norm: list[list[np.ndarray]],
) -> tuple[np.ndarray, float]:
    """(n, m) float32 products of unit vectors, the best over gallery views, and their distance from similarities."""
    n, m, at_once = len(rows), len(photos), 1024
    width = sum(part[0].shape[1] for part in space.gallery)
    none = np.empty((0, 1))
    search = Search(space, view, rows, query_norm, gallery_norm, none, none, 1, 0, none, none)
    products = Float32()
    centre = [np.zeros(part[0].shape[1], dtype=np.float32) for part in space.gallery]
    query = np.zeros((n, width), dtype=np.int32)
    size, off, _ = _round_queries(search, products, np.arange(n), centre, query)
    block = np.zeros((len(space.gallery[0]), min(m, at_once), width), dtype=np.int32)
    values = np.empty((n, m), dtype=np.float32)
    worst = 0.0
    with products.threads():
        for start in range(0, m, at_once):
            block_photos = photos[start : start + at_once]
            x, x_off = _round_photos(search, products, block_photos, centre, block)
            worst = max(worst, float(_window(products, width, off, size, x, x_off).max(initial=0.0)))
            table = values[:, start : start + len(block_photos)]
            for v in range(len(block)):
                product = query.view(np.float32) @ block[v, : len(block_photos)].view(np.float32).T
                table[:] = product if v == 0 else np.maximum(table, product)
    return values, worst
