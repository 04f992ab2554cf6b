"""Back ends on the processor: numpy in float32, or torch in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from postproc.neighbours.screen_base import Buffers, Tile
from postproc.neighbours.screen_kernels import collect

_CACHE_LINE = 64


def aligned_zeros(shape: tuple[int, ...], dtype: type[np.integer[Any]]) -> np.ndarray:
    """Zeros that begin a cache line: AMX multiplies such rows a third faster than numpy's own allocation."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(int(np.prod(shape)) + _CACHE_LINE // item, dtype=dtype)
    skipped = -memory.ctypes.data % _CACHE_LINE // item
    return memory[skipped : skipped + int(np.prod(shape))].reshape(shape)


class Float32:
    """numpy, in float32."""

    dropped_bits = 0
    rounding = 0.0
    roundings_a_term = 1
    queries_at_once = 1024

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.int32)

    def keep(self, tile: Tile, k: int, buffers: Buffers) -> None:
        """See `Products`."""
        views, m, _ = tile.gallery.shape
        n = len(tile.query)
        tables = self._tables(min(views, 2) * n * m).reshape(-1, n, m)
        for view in range(views):
            self.multiply(tile.query, tile.gallery[view], tables[min(view, 1)])
            if view:
                self.maximum(tables[0], tables[1])
        collect(
            tables[0],
            tile.first,
            tile.query_group,
            tile.gallery_group,
            k,
            tile.window,
            self.rounding,
            self.dropped_bits,
            buffers.cut,
            buffers.count,
            buffers.keys,
            buffers.place,
        )

    def _tables(self, size: int) -> np.ndarray:
        if len(self._memory) < size:
            self._memory = aligned_zeros((size,), self._memory.dtype.type)
        return self._memory[:size]

    def multiply(self, query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
        """Put the products of rounded vectors into a table."""
        np.matmul(query.view(np.float32), gallery.view(np.float32).T, out=out.view(np.float32))

    def maximum(self, best: np.ndarray, other: np.ndarray) -> None:
        """Put the larger of two tables' numbers into the first."""
        np.maximum(best.view(np.float32), other.view(np.float32), out=best.view(np.float32))

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`."""
        with threadpool_limits(numba.get_num_threads(), user_api="blas"):
            yield


class BFloat16(Float32):
    """torch on the CPU, in bfloat16.

    Products are exact in float32, sums are taken in float32 and rounded once: to 8 bits, by 2^-8 of their size at most.
    """

    dropped_bits = 16
    rounding = 2.0**-8

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._memory = np.empty(0, dtype=np.int16)

    def _tensor(self, bits: np.ndarray) -> Any:
        return self._torch.from_numpy(bits).view(self._torch.bfloat16)

    def multiply(self, query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
        """Put the products of rounded vectors into a table."""
        self._torch.mm(self._tensor(query), self._tensor(gallery).T, out=self._tensor(out))

    def maximum(self, best: np.ndarray, other: np.ndarray) -> None:
        """Put the larger of two tables' numbers into the first."""
        self._torch.maximum(self._tensor(best), self._tensor(other), out=self._tensor(best))

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(numba.get_num_threads())
        try:
            yield
        finally:
            self._torch.set_num_threads(before)
