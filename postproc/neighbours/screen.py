"""One pass over the products of queries and gallery, tile by tile, that fills the buffers of many lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from postproc.neighbours.collect_kernels import finish
from postproc.neighbours.rounded import Largest, Rounded, as_gallery, padded_width, round_photos
from postproc.neighbours.screen_base import Candidates, Factors, Met, Products, Tables, Wanted
from postproc.neighbours.screen_cpu import Float32, aligned_zeros
from postproc.neighbours.screen_kernels import LOST
from postproc.neighbours.space import Space

# queries and photos of the smallest tile
_LEAST = 16
# of a query's buffer entry: two numbers and a place
_ENTRY = 12
_SUMMING = 2.0**-23


@dataclass(frozen=True)
class Column:
    """A source's space in one query view, and its photos' norms.

    Attributes
    ----------
    space : Space
    view : int
    query_norm : list of (n,) float64 arrays
        By part, of the queries.
    gallery_norm : list of lists of (m,) float64 arrays
        By part and view.
    """

    space: Space
    view: int
    query_norm: list[np.ndarray]
    gallery_norm: list[list[np.ndarray]]

    @property
    def width(self) -> int:
        """Numbers of a photo over all parts."""
        return sum(part[0].shape[1] for part in self.space.gallery)

    def of(self, at: slice) -> Column:
        """The same of some of the queries."""
        return replace(self, query_norm=[norm[at] for norm in self.query_norm])

    @property
    def n_views(self) -> int:
        """Gallery views."""
        return len(self.space.gallery[0])

    def centre(self, gallery: np.ndarray) -> list[np.ndarray]:
        """By part, about the mean of the gallery's unit vectors, of all views, times P^(-1/2)."""
        sample = gallery[:: max(1, len(gallery) // 1024)][:1024]
        out = []
        for part, norm in zip(self.space.gallery, self.gallery_norm, strict=True):
            total = np.zeros(part[0].shape[1])
            for array, length in zip(part, norm, strict=True):
                for start in range(0, len(sample), 64):
                    rows = sample[start : start + 64]
                    total += (array[rows].astype(np.float64) / length[rows, None]).sum(axis=0)
            out.append(
                (total / (max(1, len(sample)) * len(part) * np.sqrt(len(self.space.gallery)))).astype(np.float32)
            )
        return out


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What is asked, and in which order.

    Attributes
    ----------
    columns : sequence of Column
    wanted : sequence of Wanted
    products : Products
    query_rows : (n,) int array
        Rows of the spaces' queries.
    gallery_rows : (m,) int32 array
        Sorted by class.
    query_group : (n,) int array
    gallery_group : (m,) int array
    class_start, class_stop : (n,) int64 arrays
        Places in `gallery_rows` of the photos of the query's class.
    is_symmetric : bool
        Whether the queries are the gallery: the same arrays, the same rows in the same order.
    memory : int
        Bytes.
    progress : callable
        Called with the number of queries done.
    """

    columns: Sequence[Column]
    wanted: Sequence[Wanted]
    products: Products
    query_rows: np.ndarray
    gallery_rows: np.ndarray
    query_group: np.ndarray
    gallery_group: np.ndarray
    class_start: np.ndarray
    class_stop: np.ndarray
    is_symmetric: bool
    memory: int
    progress: Callable[[int], None]

    def blocks(self) -> Iterator[tuple[slice, list[Candidates]]]:
        """Candidates of all queries, in blocks as large as the memory allows."""
        kind, n, m = self.products.kind, len(self.query_rows), len(self.gallery_rows)
        padded, item = sum(padded_width(column.width, kind) for column in self.columns), np.dtype(kind).itemsize
        a_query = padded * item + 64 + sum(wanted.capacity(m) * _ENTRY + 64 for wanted in self.wanted)
        # and its lists
        a_query += sum((wanted.k + wanted.k_class) * (8 + 4 * wanted.n_several) for wanted in self.wanted)
        tile = self.products.tile
        while tile > _LEAST and self._tile_bytes(tile) > self.memory // 4:
            tile //= 2
        at_once = max(1, (self.memory - self._tile_bytes(tile)) // a_query)
        if self.is_symmetric:
            # tiles of queries are tiles of photos
            at_once = max(tile, at_once // tile * tile)
        centres = [column.centre(self.gallery_rows) for column in self.columns]
        for start in range(0, n, at_once):
            at = slice(start, min(start + at_once, n))
            yield at, _Block(self, at, tile, centres).candidates()

    def _tile_bytes(self, tile: int) -> int:
        kind = self.products.kind
        views = sum(padded_width(column.width, kind) * (column.n_views + 1) for column in self.columns)
        height = min(tile, len(self.query_rows))
        tables = (len(self.columns) + 1) * (2 if self.is_symmetric else 1) * tile * height
        return tables * (4 - self.products.dropped_bits // 8) + tile * views * np.dtype(kind).itemsize


class _Block:
    """Queries that are worked on together."""

    def __init__(self, asked: Pass, at: slice, tile: int, centres: list[list[np.ndarray]]) -> None:
        self.asked, self.at, self.tile, self.centres = asked, at, tile, centres
        self.n = at.stop - at.start
        self.start, self.stop = asked.class_start[at], asked.class_stop[at]
        self.largest = [Largest() for _ in asked.columns]
        self.rounded = [self._round_queries(c) for c in range(len(asked.columns))]
        less = np.array([sum(float(part.astype(np.float64) @ part) for part in centre) for centre in centres])
        self.lists = [
            Candidates.empty(self.n, wanted, len(asked.gallery_rows), float(wanted.weights @ less))
            for wanted in asked.wanted
        ]

    def candidates(self) -> list[Candidates]:
        """The buffers, filled."""
        asked, m = self.asked, len(self.asked.gallery_rows)
        if asked.is_symmetric:
            for largest, rounded in zip(self.largest, self.rounded, strict=True):
                largest.take(rounded)
        done = 0
        for first in range(0, m, self.tile):
            photos = slice(first, min(first + self.tile, m))
            mine = asked.is_symmetric and self.at.start <= first < self.at.stop
            # of a pair of tiles that are queries and photos alike, one product serves both
            tops = range(0, photos.stop - self.at.start if mine else self.n, self.tile)
            tiles = [slice(top, min(top + self.tile, self.n)) for top in tops]
            tiles = [rows for rows in tiles if self._meet(rows, photos)]
            if tiles:
                gallery = self._own_photos(photos) if mine else self._round_gallery(photos)
                self._widen()
            for rows in tiles:
                tables = asked.products.multiply([r.factors.part(rows) for r in self.rounded], gallery)
                self._collect(tables, rows, photos)
                if mine and self.at.start + rows.start < first:
                    own = slice(first - self.at.start, photos.stop - self.at.start)
                    self._collect(tables.turned(), own, slice(self.at.start + rows.start, self.at.start + rows.stop))
            reached = self.n * photos.stop // m
            if reached > done:
                asked.progress(reached - done)
            done = reached
            if all((found.count == LOST).all() for found in self.lists):
                asked.progress(self.n - done)
                break
        for wanted, found in zip(asked.wanted, self.lists, strict=True):
            arrays = (found.window, found.count, found.high, found.low, found.place)
            finish(wanted.k, wanted.k_class, self.start, self.stop, *arrays)
        return self.lists

    def _meet(self, rows: slice, photos: slice) -> bool:
        """Whether any list is to look at a tile: those within the own class alone pass over all others."""
        if any(wanted.k for wanted in self.asked.wanted):
            return True
        return bool(((self.start[rows] < photos.stop) & (self.stop[rows] > photos.start)).any())

    def _round_queries(self, c: int) -> Rounded:
        column, rows = self.asked.columns[c], self.asked.query_rows[self.at]
        arrays = [part[column.view] for part in column.space.query]
        norms = [norm[self.at] for norm in column.query_norm]
        return self._round(c, arrays, norms, rows)

    def _round_gallery(self, photos: slice) -> list[list[Factors]]:
        """By column and view, photos that are no queries of this block."""
        out, rows = [], self.asked.gallery_rows[photos]
        for c, column in enumerate(self.asked.columns):
            views = []
            for v in range(column.n_views):
                norms = [part[v][rows] for part in column.gallery_norm]
                rounded = self._round(c, [part[v] for part in column.space.gallery], norms, rows)
                self.largest[c].take(rounded)
                views.append(as_gallery(rounded.factors, column.width))
            out.append(views)
        return out

    def _round(self, c: int, arrays: list[np.ndarray], norms: list[np.ndarray], rows: np.ndarray) -> Rounded:
        products = self.asked.products
        shape = len(rows), padded_width(self.asked.columns[c].width, products.kind)
        out = aligned_zeros(shape, products.kind)
        return round_photos(arrays, norms, rows, self.centres[c], products.dropped_bits, out)

    def _own_photos(self, photos: slice) -> list[list[Factors]]:
        """The same of photos that are queries of this block."""
        own, out = slice(photos.start - self.at.start, photos.stop - self.at.start), []
        for column, rounded in zip(self.asked.columns, self.rounded, strict=True):
            some = rounded.factors.part(own)
            bits = aligned_zeros(some.bits.shape, self.asked.products.kind)
            bits[:] = some.bits
            out.append([as_gallery(replace(some, bits=bits), column.width)])
        return out

    def _widen(self) -> None:
        """Let the windows grow with the photos; cuts that photos of earlier tiles gave fall by as much."""
        products = self.asked.products
        of_columns = [r.window(products, most) for r, most in zip(self.rounded, self.largest, strict=True)]
        sizes = [r.most(most) for r, most in zip(self.rounded, self.largest, strict=True)]
        for wanted, found in zip(self.asked.wanted, self.lists, strict=True):
            window, size = np.zeros(self.n), np.zeros(self.n)
            for weight, of_column, of_size in zip(wanted.weights, of_columns, sizes, strict=True):
                window += float(weight) * of_column
                size += float(weight) * of_size
            # `high` and `low` are summed in float32: of a single product that is not rounded again they are the product
            if products.rounding or np.count_nonzero(wanted.weights) > 1:
                window += (2 * len(of_columns) + 4) * _SUMMING * size
            lower_cuts((window - found.window) * (1 + 1e-6), found.cut, found.cut_class)
            found.window[:] = window

    def _collect(self, tables: Tables, rows: slice, photos: slice) -> None:
        of_block = slice(self.at.start + rows.start, self.at.start + rows.stop)
        met = Met(
            first=photos.start,
            query_group=self.asked.query_group[of_block],
            gallery_group=self.asked.gallery_group[photos],
            class_start=self.start[rows],
            class_stop=self.stop[rows],
        )
        for wanted, found in zip(self.asked.wanted, self.lists, strict=True):
            tables.collect(met, wanted, found.part(rows))


def lower_cuts(grown: np.ndarray, *cuts: np.ndarray) -> None:
    """Lower cuts by as much as each query's window has grown."""
    for cut in cuts:
        lower = np.nextafter(cut - grown.astype(np.float32), np.float32(-np.inf))
        np.copyto(cut, lower, where=(grown > 0) & np.isfinite(cut))


def unit_products(
    space: Space,
    view: int,
    rows: np.ndarray,
    photos: np.ndarray,
    query_norm: list[np.ndarray],
    gallery_norm: list[list[np.ndarray]],
) -> tuple[np.ndarray, float]:
    """(n, m) float32 products of unit vectors, the best over gallery views, and their distance from similarities."""
    column, products, at_once = Column(space, view, query_norm, gallery_norm), Float32(), 1024
    centre = [np.zeros(part[0].shape[1], dtype=np.float32) for part in space.gallery]
    bits = np.zeros((len(rows), padded_width(column.width, np.int32)), dtype=np.int32)
    query = round_photos([part[view] for part in space.query], query_norm, rows, centre, 0, bits)
    values = np.empty((len(rows), len(photos)), dtype=np.float32)
    largest = Largest()
    with products.threads():
        for start in range(0, len(photos), at_once):
            some = photos[start : start + at_once]
            table = values[:, start : start + at_once]
            for v in range(column.n_views):
                block = np.zeros((len(some), bits.shape[1]), dtype=np.int32)
                norms = [part[v][some] for part in gallery_norm]
                rounded = round_photos([part[v] for part in space.gallery], norms, some, centre, 0, block)
                largest.take(rounded)
                as_gallery(rounded.factors, column.width)
                product = bits.view(np.float32) @ block.view(np.float32).T
                table[:] = product if v == 0 else np.maximum(table, product)
    return values, float(query.window(products, largest).max(initial=0.0))
