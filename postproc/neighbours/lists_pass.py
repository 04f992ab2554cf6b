"""One pass over the products of queries and gallery, tile by tile, that fills the buffers of many lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from postproc.neighbours.lists_kernels import collect, finish, transpose
from postproc.neighbours.rounded import Largest, Rounded, as_gallery, padded_width, round_photos
from postproc.neighbours.screen_base import Products
from postproc.neighbours.screen_cpu import aligned_zeros
from postproc.neighbours.space import Space

# room for candidates beyond those that are wanted
_SPARE = 256
# queries and photos of a tile
_TILE = 1024
_STRIDE = 64
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
            out.append((total / (len(sample) * len(part) * np.sqrt(len(self.space.gallery)))).astype(np.float32))
        return out


@dataclass(frozen=True)
class Wanted:
    """A list that is wanted: by the weighted mean of the columns, so many of all and of the own class."""

    weights: np.ndarray
    k: int
    k_class: int

    @property
    def capacity(self) -> int:
        """Places of a query's buffer."""
        return self.k + self.k_class + _SPARE


@dataclass(frozen=True)
class Candidates:
    """Buffers of one list; see `collect`."""

    high: np.ndarray
    low: np.ndarray
    place: np.ndarray
    cut: np.ndarray
    cut_class: np.ndarray
    count: np.ndarray

    @classmethod
    def empty(cls, n: int, wanted: Wanted) -> Candidates:
        """Of n queries."""
        shape = (n, wanted.capacity)
        return cls(
            np.empty(shape, dtype=np.float32),
            np.empty(shape, dtype=np.int32),
            np.empty(shape, dtype=np.int32),
            np.full(n, -np.inf if wanted.k else np.inf, dtype=np.float32),
            np.full(n, -np.inf if wanted.k_class else np.inf, dtype=np.float32),
            np.zeros(n, dtype=np.int64),
        )


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
        item = np.dtype(self._kind).itemsize
        padded = sum(padded_width(column.width) for column in self.columns)
        views = sum(padded_width(column.width) * column.n_views for column in self.columns)
        a_query = padded * item + sum(wanted.capacity * _ENTRY + 32 for wanted in self.wanted) + 64
        tile = _TILE
        while tile > _STRIDE and self._tile_bytes(tile, views, item) > self.memory // 4:
            tile //= 2
        left = self.memory - self._tile_bytes(tile, views, item)
        at_once = max(tile, left // a_query // tile * tile)
        centres = [column.centre(self.gallery_rows) for column in self.columns]
        for start in range(0, len(self.query_rows), at_once):
            at = slice(start, min(start + at_once, len(self.query_rows)))
            yield at, _Block(self, at, tile, centres).candidates()

    def _tile_bytes(self, tile: int, views: int, item: int) -> int:
        tables = (len(self.columns) + 1) * (2 if self.is_symmetric else 1) * tile * tile * item
        return tables + tile * views * item

    @property
    def _kind(self) -> type[np.integer]:
        return np.int16 if self.products.dropped_bits else np.int32


class _Block:
    """Queries that are worked on together."""

    def __init__(self, asked: Pass, at: slice, tile: int, centres: list[list[np.ndarray]]) -> None:
        self.asked, self.at, self.tile, self.centres = asked, at, tile, centres
        self.n = at.stop - at.start
        self.largest = [Largest() for _ in asked.columns]
        self.rounded = [self._round_queries(c) for c in range(len(asked.columns))]
        self.lists = [Candidates.empty(self.n, wanted) for wanted in asked.wanted]
        self.windows = [np.zeros(self.n) for _ in asked.wanted]
        self._tables = [np.empty(0, dtype=asked._kind), np.empty(0, dtype=asked._kind)]

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
            gallery = self._own_photos(photos) if mine else self._round_gallery(photos)
            self._widen()
            # of a pair of tiles that are queries and photos alike, one product serves both
            last = photos.stop - self.at.start if mine else self.n
            for top in range(0, last, self.tile):
                rows = slice(top, min(top + self.tile, self.n))
                tables = self._multiply(rows, gallery)
                self._collect(tables, rows, photos)
                if mine and self.at.start + top < first:
                    turned = self._table(1, len(gallery), photos.stop - photos.start, rows.stop - rows.start)
                    transpose(tables, turned)
                    own = slice(first - self.at.start, photos.stop - self.at.start)
                    self._collect(turned, own, slice(self.at.start + rows.start, self.at.start + rows.stop))
            reached = self.n * photos.stop // m
            asked.progress(reached - done)
            done = reached
        for wanted, found, window in zip(asked.wanted, self.lists, self.windows, strict=True):
            start, stop = asked.class_start[self.at], asked.class_stop[self.at]
            finish(wanted.k, wanted.k_class, start, stop, window, found.count, found.high, found.low, found.place)
        return self.lists

    def _round_queries(self, c: int) -> Rounded:
        column, rows = self.asked.columns[c], self.asked.query_rows[self.at]
        out = aligned_zeros((self.n, padded_width(column.width)), self.asked._kind)
        arrays = [part[column.view] for part in column.space.query]
        norms = [norm[self.at] for norm in column.query_norm]
        return round_photos(arrays, norms, rows, self.centres[c], self.asked.products.dropped_bits, out)

    def _round_gallery(self, photos: slice) -> list[np.ndarray]:
        """By column, (views, m, padded) bits of photos that are no queries of this block."""
        out = []
        rows = self.asked.gallery_rows[photos]
        for c, column in enumerate(self.asked.columns):
            shape = (column.n_views, len(rows), padded_width(column.width))
            bits = aligned_zeros(shape, self.asked._kind)
            plain = aligned_zeros(shape[1:], self.asked._kind)
            for v in range(column.n_views):
                arrays = [part[v] for part in column.space.gallery]
                norms = [part[v][rows] for part in column.gallery_norm]
                dropped = self.asked.products.dropped_bits
                rounded = round_photos(arrays, norms, rows, self.centres[c], dropped, plain)
                self.largest[c].take(rounded)
                as_gallery(plain, column.width, bits[v])
            out.append(bits)
        return out

    def _own_photos(self, photos: slice) -> list[np.ndarray]:
        """The same of photos that are queries of this block."""
        own = slice(photos.start - self.at.start, photos.stop - self.at.start)
        out = []
        for column, rounded in zip(self.asked.columns, self.rounded, strict=True):
            bits = aligned_zeros((1, own.stop - own.start, rounded.bits.shape[1]), self.asked._kind)
            as_gallery(rounded.bits[own], column.width, bits[0])
            out.append(bits)
        return out

    def _widen(self) -> None:
        """Let the windows grow with the photos; cuts that photos of earlier tiles gave fall by as much."""
        products = self.asked.products
        of_columns = [r.window(products, most) for r, most in zip(self.rounded, self.largest, strict=True)]
        sizes = [r.most(most) for r, most in zip(self.rounded, self.largest, strict=True)]
        for w, (wanted, found) in enumerate(zip(self.asked.wanted, self.lists, strict=True)):
            window, size = np.zeros(self.n), np.zeros(self.n)
            for weight, of_column, of_size in zip(wanted.weights, of_columns, sizes, strict=True):
                window += float(weight) * of_column
                size += float(weight) * of_size
            window += (2 * len(self.asked.columns) + 4) * _SUMMING * size
            grown = (window - self.windows[w]) * (1 + 1e-6)
            for cut in (found.cut, found.cut_class):
                cut -= grown.astype(np.float32)
            self.windows[w] = window

    def _table(self, which: int, sources: int, n: int, m: int) -> np.ndarray:
        size = sources * n * m
        if len(self._tables[which]) < size:
            self._tables[which] = aligned_zeros((size,), self.asked._kind)
        return self._tables[which][:size].reshape(sources, n, m)

    def _multiply(self, rows: slice, gallery: list[np.ndarray]) -> np.ndarray:
        n, m = rows.stop - rows.start, gallery[0].shape[1]
        tables = self._table(0, len(gallery) + 1, n, m)
        for c, bits in enumerate(gallery):
            for v in range(len(bits)):
                self.asked.products.multiply(self.rounded[c].bits[rows], bits[v], tables[-1 if v else c])
                if v:
                    self.asked.products.maximum(tables[c], tables[-1])
        return tables[:-1]

    def _collect(self, tables: np.ndarray, rows: slice, photos: slice) -> None:
        asked, products = self.asked, self.asked.products
        of_block = slice(self.at.start + rows.start, self.at.start + rows.stop)
        for wanted, found, window in zip(asked.wanted, self.lists, self.windows, strict=True):
            used = np.flatnonzero(wanted.weights)
            some = slice(used[0], used[-1] + 1)
            collect(
                tables[some],
                wanted.weights[some].astype(np.float32),
                products.rounding,
                products.dropped_bits,
                photos.start,
                asked.query_group[of_block],
                asked.gallery_group[photos],
                asked.class_start[of_block],
                asked.class_stop[of_block],
                wanted.k,
                wanted.k_class,
                window[rows],
                found.cut[rows],
                found.cut_class[rows],
                found.count[rows],
                found.high[rows],
                found.low[rows],
                found.place[rows],
            )
