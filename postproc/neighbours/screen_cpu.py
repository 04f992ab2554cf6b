"""Back ends on the processor: numpy in float32, or torch in bfloat16 or in whole numbers of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from postproc.neighbours.collect_kernels import collect, transpose
from postproc.neighbours.screen_base import Candidates, Factors, Met, Wanted
from postproc.neighbours.screen_kernels import to_floats

_CACHE_LINE = 64


def aligned_zeros(shape: tuple[int, ...], dtype: type[np.integer[Any]]) -> np.ndarray:
    """Zeros that begin a cache line: AMX multiplies such rows a third faster than numpy's own allocation."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(int(np.prod(shape)) + _CACHE_LINE // item, dtype=dtype)
    skipped = -memory.ctypes.data % _CACHE_LINE // item
    return memory[skipped : skipped + int(np.prod(shape))].reshape(shape)


class HostTables:
    """Products in (columns, n, m) bits of floats, in memory that the next tile overwrites."""

    def __init__(self, products: Float32, bits: np.ndarray) -> None:
        self._products, self.bits = products, bits

    def collect(self, met: Met, wanted: Wanted, candidates: Candidates) -> None:
        """See `Tables`."""
        collect(
            self.bits[wanted.some],
            wanted.weights[wanted.some].astype(np.float32),
            self._products.rounding,
            self._products.dropped_bits,
            met.first,
            met.query_group,
            met.gallery_group,
            met.class_start,
            met.class_stop,
            wanted.k,
            wanted.k_class,
            candidates.window,
            candidates.cut,
            candidates.cut_class,
            candidates.count,
            candidates.high,
            candidates.low,
            candidates.place,
        )

    def turned(self) -> HostTables:
        """See `Tables`."""
        columns, n, m = self.bits.shape
        turned = self._products.memory(1, columns, m, n)
        transpose(self.bits, turned)
        return HostTables(self._products, turned)


class Float32:
    """numpy, in float32."""

    kind: type[np.integer[Any]] = np.int32
    dropped_bits = 0
    rounding = 0.0
    roundings_a_term = 1
    tile = 1024

    def __init__(self) -> None:
        self._memory = [np.empty(0, dtype=np.int32)] * 2

    def multiply(self, query: Sequence[Factors], gallery: Sequence[Sequence[Factors]]) -> HostTables:
        """See `Products`."""
        # one table more, for further views
        several = any(len(views) > 1 for views in gallery)
        tables = self.memory(0, len(query) + several, len(query[0].bits), len(gallery[0][0].bits))
        for c, (of_queries, views) in enumerate(zip(query, gallery, strict=True)):
            self._multiply(of_queries, views[0], tables[c])
            for view in views[1:]:
                self._multiply(of_queries, view, tables[-1])
                self._maximum(tables[c], tables[-1])
        return HostTables(self, tables[: len(query)])

    def memory(self, which: int, columns: int, n: int, m: int) -> np.ndarray:
        """(columns, n, m) table in one of two memories that are used again and again."""
        size = columns * n * m
        if len(self._memory[which]) < size:
            self._memory[which] = aligned_zeros((size,), np.int16 if self.dropped_bits else np.int32)
        return self._memory[which][:size].reshape(columns, n, m)

    def _multiply(self, query: Factors, gallery: Factors, out: np.ndarray) -> None:
        np.matmul(query.bits.view(np.float32), gallery.bits.view(np.float32).T, out=out.view(np.float32))

    def _maximum(self, best: np.ndarray, other: np.ndarray) -> None:
        np.maximum(best.view(np.float32), other.view(np.float32), out=best.view(np.float32))

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`."""
        with threadpool_limits(numba.get_num_threads(), user_api="blas"):
            yield


class _ByTorch(Float32):
    """torch on the CPU."""

    def __init__(self, torch: Any) -> None:
        super().__init__()
        self._torch = torch

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(numba.get_num_threads())
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


class BFloat16(_ByTorch):
    """torch on the CPU, in bfloat16.

    Products are exact in float32, sums are taken in float32 and rounded once: to 8 bits, by 2^-8 of their size at most.
    """

    kind: type[np.integer[Any]] = np.int16
    dropped_bits = 16
    rounding = 2.0**-8

    def _tensor(self, bits: np.ndarray) -> Any:
        return self._torch.from_numpy(bits).view(self._torch.bfloat16)

    def _multiply(self, query: Factors, gallery: Factors, out: np.ndarray) -> None:
        self._torch.mm(self._tensor(query.bits), self._tensor(gallery.bits).T, out=self._tensor(out))

    def _maximum(self, best: np.ndarray, other: np.ndarray) -> None:
        self._torch.maximum(self._tensor(best), self._tensor(other), out=self._tensor(best))


class Int8(_ByTorch):
    """torch on the CPU, in whole numbers of 8 bits, a step a photo; see `postproc.neighbours.rounded`.

    Products and sums are exact, and float32 numbers are made of them: four roundings, less than the bound on a sum of
    float32 numbers allows for.
    """

    kind: type[np.integer[Any]] = np.int8

    def _multiply(self, query: Factors, gallery: Factors, out: np.ndarray) -> None:
        left, right = self._torch.from_numpy(query.bits), self._torch.from_numpy(gallery.bits)
        self._torch._int_mm(left, right.T, out=self._torch.from_numpy(out))
        # whole numbers have both
        told = (query.step, gallery.step, query.constant, gallery.constant)
        to_floats(out, *told)  # type: ignore[arg-type]
