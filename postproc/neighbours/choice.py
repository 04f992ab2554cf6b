"""Which of several back ends answers a search fastest: by their speed here, and by what their windows leave to compute.

A coarser product is faster and leaves more photos in question. Both are measured: the speed once a process, on a tile
of noise, and the photos in question on a sample of the queries and of the gallery.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from cv.errors import FinblendError
from postproc.compiled import as_read
from postproc.neighbours.exact_kernels import add_cosines
from postproc.neighbours.rounded import WIDEST, Largest, Rounded, as_gallery, padded_width, round_photos
from postproc.neighbours.screen import Column
from postproc.neighbours.screen_base import Products, Wanted

_QUERIES, _PHOTOS = 64, 2048
# photos and numbers of the tile that is timed
_TILE, _WIDTH = 1024, 1024
_ROUNDS = 3
# the k-th best of the gallery is hardly in a sample: how many lie close below is asked of the sample's of this rank
_RANK = 8
# of the queries, what may have no room in their buffers, filled so far: they are searched again, at a high price
_WITHOUT_ROOM, _FILLED = 0.05, 0.875
_MEASURED: dict[type[Products], float] = {}


def fastest(
    backends: Sequence[Products],
    columns: Sequence[Column],
    wanted: Sequence[Wanted],
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    *,
    is_symmetric: bool,
) -> Products:
    """The back end that is expected to take least time.

    Parameters
    ----------
    backends : sequence of Products
        The first is the one that always has room.
    columns, wanted, query_rows, gallery_rows, is_symmetric
        As of `Pass`.
    """
    if any(column.width > WIDEST for column in columns):
        backends = [products for products in backends if products.kind is not np.int8]
        if not backends:
            raise FinblendError(f"backend 'int8' multiplies at most {WIDEST} numbers of a photo")
    if len(backends) == 1 or not len(query_rows) or not len(gallery_rows):
        return backends[0]
    m, width = len(gallery_rows), sum(column.width * column.n_views for column in columns)
    seconds = []
    for products in backends:
        in_question = _in_question(products, columns, wanted, query_rows, gallery_rows)
        if products is not backends[0] and any(
            float((kept > _FILLED * want.capacity(m)).mean()) > _WITHOUT_ROOM
            for (_, kept), want in zip(in_question, wanted, strict=True)
        ):
            continue
        numbers = sum(
            float(left.mean())
            * sum(c.width * c.n_views for c, weight in zip(columns, want.weights, strict=True) if weight)
            for (left, _), want in zip(in_question, wanted, strict=True)
        )
        multiplied = m * width / (2 if is_symmetric else 1)
        seconds.append((multiplied * _per_product(products) + numbers * _per_exact_product(), products))
    return min(seconds, key=lambda pair: pair[0])[1]


def _in_question(
    products: Products,
    columns: Sequence[Column],
    wanted: Sequence[Wanted],
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """By list and query of a sample: photos that have to be compared exactly, and photos that its buffer has to hold.

    Those of the own class are counted as if they were of the whole gallery, which errs on the many.
    """
    places = [
        np.unique(np.linspace(0, n - 1, most).astype(np.int64))
        for n, most in ((len(query_rows), _QUERIES), (len(gallery_rows), _PHOTOS))
    ]
    screened = [_screened(products, column, query_rows, gallery_rows, *places) for column in columns]
    left = []
    for want in wanted:
        value = sum(float(weight) * table for weight, (table, _) in zip(want.weights, screened, strict=True))
        window = sum(float(weight) * each for weight, (_, each) in zip(want.weights, screened, strict=True))
        k = want.k + want.k_class
        rank = min(len(places[1]), max(_RANK, round(k * len(places[1]) / len(gallery_rows))))
        kth = np.partition(value, -rank, axis=1)[:, -rank]
        window = window + products.rounding * np.abs(kth)
        # a photo is compared where it may be above the k-th, one window down; it is held two windows down
        found = [k / rank * (value >= (kth - windows * window)[:, None]).sum(axis=1) for windows in (1, 2)]
        left.append((found[0], found[1]))
    return left


def _screened(
    products: Products,
    column: Column,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    query_places: np.ndarray,
    gallery_places: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Products of the sample in a column's first view, less the constant, and the queries' windows."""
    centre, rows, photos = column.centre(gallery_rows), query_rows[query_places], gallery_rows[gallery_places]

    def rounded(arrays: list[np.ndarray], norms: list[np.ndarray], some: np.ndarray) -> Rounded:
        out = np.zeros((len(some), padded_width(column.width, products.kind)), dtype=products.kind)
        return round_photos(arrays, norms, some, centre, products.dropped_bits, out)

    space, view = column.space, column.view
    query = rounded([part[view] for part in space.query], [norm[query_places] for norm in column.query_norm], rows)
    gallery = rounded([part[0] for part in space.gallery], [part[0][photos] for part in column.gallery_norm], photos)
    largest = Largest()
    largest.take(gallery)
    value = np.zeros((len(rows), len(photos)))
    for p, (of_queries, views) in enumerate(zip(space.query, space.gallery, strict=True)):
        left = of_queries[view][rows] / column.query_norm[p][query_places, None]
        value += left @ (views[0][photos] / column.gallery_norm[p][0][photos, None]).T
    less = sum(float(part @ part) for part in centre)
    return value / len(space.gallery) - less, query.window(products, largest)


def _per_product(products: Products) -> float:
    """Seconds of a multiplication."""
    if type(products) in _MEASURED:
        return _MEASURED[type(products)]
    rng = np.random.default_rng(0)
    array = rng.standard_normal((_TILE, _WIDTH), dtype=np.float32)
    norm, rows = [np.linalg.norm(array, axis=1).astype(np.float64)], np.arange(_TILE)
    sides = []
    for _ in range(2):
        out = np.zeros((_TILE, padded_width(_WIDTH, products.kind)), dtype=products.kind)
        centre = [np.zeros(_WIDTH, np.float32)]
        sides.append(round_photos([array], norm, rows, centre, products.dropped_bits, out).factors)
    gallery = as_gallery(sides[1], _WIDTH)
    with products.threads():
        # with the table turned, as where queries and gallery are one
        seconds = _least(lambda: products.multiply([sides[0]], [[gallery]]).turned()) / (_TILE * _TILE * _WIDTH)
    _MEASURED[type(products)] = seconds
    return seconds


@cache
def _per_exact_product() -> float:
    """Seconds of a multiplication of the exact similarity."""
    array = as_read(np.random.default_rng(0).standard_normal((_TILE, _WIDTH), dtype=np.float32))
    norm, rows = np.linalg.norm(array, axis=1).astype(np.float64), np.arange(_TILE)
    query, photo = np.repeat(rows.astype(np.int32), 16), np.tile(rows.astype(np.int32), 16)
    total = np.zeros(len(query))
    return _least(lambda: add_cosines(array, array, rows, norm, norm, query, photo, total)) / (len(query) * _WIDTH)


def _least(work: Callable[[], object]) -> float:
    """Least seconds of a few rounds, after one that warms up."""
    work()
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
