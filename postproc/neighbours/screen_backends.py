"""Who multiplies rounded vectors: numpy in float32, or torch in bfloat16.

torch is imported when a search is big enough to pay for it, never before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numba
import numpy as np
from llvmlite import binding  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits

from cv.errors import FinblendError
from postproc.neighbours.screen_kernels import LOST, append, collect, floats_of_keys

BACKENDS = ("auto", "bfloat16", "float32")
# multiplications from which bfloat16 pays: importing torch takes seconds, rounding and calling it milliseconds
_WORTH_IMPORTING = 5e11
_WORTH_ROUNDING = 2e9
_FAST_FLAGS = ("avx512bf16", "amx-bf16")
_CACHE_LINE = 64


def aligned_zeros(shape: tuple[int, ...], dtype: type[np.integer[Any]]) -> np.ndarray:
    """Zeros that begin a cache line: AMX multiplies such rows a third faster than numpy's own allocation."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(int(np.prod(shape)) + _CACHE_LINE // item, dtype=dtype)
    skipped = -memory.ctypes.data % _CACHE_LINE // item
    return memory[skipped : skipped + int(np.prod(shape))].reshape(shape)


@dataclass(frozen=True)
class Buffers:
    """Candidates of n queries.

    Attributes
    ----------
    keys : (n, capacity) int16 or int32 array
        Screened values as keys; see `postproc.neighbours.screen_kernels`.
    place : (n, capacity) int32 array
        Places in the job's gallery, ascending.
    cut, count : (n,) int64 arrays
        Key to reach, and number of candidates, `LOST` where there are too many.
    """

    keys: np.ndarray
    place: np.ndarray
    cut: np.ndarray
    count: np.ndarray

    def part(self, start: int, stop: int) -> Buffers:
        """Views of some queries' buffers."""
        return Buffers(*(a[start:stop] for a in (self.keys, self.place, self.cut, self.count)))


@dataclass(frozen=True)
class Tile:
    """Rounded queries and gallery photos that are to be multiplied.

    Attributes
    ----------
    query : (n, d) array of bits
    gallery : (views, m, d) array of bits
    first : int
        Place of the first photo in the job's gallery.
    query_group, gallery_group : (n,), (m,) int arrays
        Photos of the query's own group are passed over.
    window : (n,) float64 array
        Bound on the distance of a product, before its last rounding, from what it stands for.
    """

    query: np.ndarray
    gallery: np.ndarray
    first: int
    query_group: np.ndarray
    gallery_group: np.ndarray
    window: np.ndarray


class Products(Protocol):
    """Multiplies rounded vectors and keeps what may be among the k best.

    Attributes
    ----------
    dropped_bits : int
        How many bits of a float32 the vectors and products lack.
    rounding : float
        Relative error of rounding a product that was summed in float32.
    roundings_a_term : int
        How many units of 2^-24 each addition may cost: 1 where it rounds to nearest.
    queries_at_once : int
        Height of a tile.
    """

    dropped_bits: int
    rounding: float
    roundings_a_term: int
    queries_at_once: int

    def keep(self, tile: Tile, k: int, buffers: Buffers) -> None:
        """Put the photos that reach their query's cut, by the best of their views, into its buffer."""

    def threads(self) -> AbstractContextManager[None]:
        """Context in which products are taken on as many threads as numba uses."""


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
            self._multiply(tile.query, tile.gallery[view], tables[min(view, 1)])
            if view:
                self._maximum(tables)
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

    def _multiply(self, query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
        np.matmul(query.view(np.float32), gallery.view(np.float32).T, out=out.view(np.float32))

    def _maximum(self, tables: np.ndarray) -> None:
        np.maximum(tables[0].view(np.float32), tables[1].view(np.float32), out=tables[0].view(np.float32))

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

    def _multiply(self, query: np.ndarray, gallery: np.ndarray, out: np.ndarray) -> None:
        self._torch.mm(self._tensor(query), self._tensor(gallery).T, out=self._tensor(out))

    def _maximum(self, tables: np.ndarray) -> None:
        one, two = self._tensor(tables[0]), self._tensor(tables[1])
        self._torch.maximum(one, two, out=one)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(numba.get_num_threads())
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


class OnDevice:
    """torch on a GPU, in bfloat16: candidates are chosen there, and only they come back.

    The tests run it with the CPU as the device. On a GPU it has not run yet.
    """

    dropped_bits = 16
    rounding = 2.0**-8
    roundings_a_term = 4
    queries_at_once = 8192

    def __init__(self, torch: Any, device: str) -> None:
        self._torch, self._device = torch, device

    def _tensor(self, array: np.ndarray) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def keep(self, tile: Tile, k: int, buffers: Buffers) -> None:
        """See `Products`."""
        torch = self._torch
        query = self._tensor(tile.query).view(torch.bfloat16)
        best = reduce(torch.maximum, (query @ self._tensor(bits).view(torch.bfloat16).T for bits in tile.gallery))
        best.masked_fill_(self._tensor(tile.query_group)[:, None] == self._tensor(tile.gallery_group), -torch.inf)
        floor = floats_of_keys(buffers.cut, self.dropped_bits)
        floor[buffers.count == LOST] = np.inf
        least = self._tensor(floor)
        if np.isneginf(floor).any() and best.shape[1] > k:
            # the first block: what the k best of this tile alone allow
            kth = best.topk(k, dim=1).values[:, -1].double()
            own = kth - self.rounding * kth.abs() - 2.0 * self._tensor(tile.window)
            least = torch.maximum(least.double(), own)
        chosen = (best >= least[:, None]) & (best > -torch.inf)
        at, column = (found.cpu().numpy() for found in chosen.nonzero(as_tuple=True))
        append(
            np.searchsorted(at, np.arange(len(floor) + 1)),
            column,
            best[chosen].view(torch.int16).cpu().numpy(),
            tile.first,
            k,
            tile.window,
            self.rounding,
            self.dropped_bits,
            buffers.cut,
            buffers.count,
            buffers.keys,
            buffers.place,
        )

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`; sums are kept in float32, which is not the default of torch."""
        matmul = self._torch.backends.cuda.matmul
        before = matmul.allow_bf16_reduced_precision_reduction
        matmul.allow_bf16_reduced_precision_reduction = False
        try:
            yield
        finally:
            matmul.allow_bf16_reduced_precision_reduction = before


def choose(backend: str, multiplications: float) -> Products:
    """Products by name.

    Parameters
    ----------
    backend : {"auto", "bfloat16", "float32"}
    multiplications : float
        Size of the work: "auto" takes bfloat16 where the hardware has it and the work is worth importing torch.
    """
    if backend not in BACKENDS:
        raise FinblendError(f"backend must be one of {', '.join(BACKENDS)}, but got {backend!r}")
    needed = _WORTH_ROUNDING if "torch" in sys.modules else _WORTH_IMPORTING
    if backend == "float32" or (backend == "auto" and multiplications < needed):
        return Float32()
    try:
        import torch
    except (ImportError, OSError) as error:
        if backend == "auto":
            return Float32()
        raise FinblendError(f"backend 'bfloat16' needs torch: pip install 'finblend[backbones]' ({error})") from None
    if torch.cuda.is_available():
        return OnDevice(torch, "cuda")
    features = binding.get_host_cpu_features()
    fast = any(features.get(flag, False) for flag in _FAST_FLAGS)
    return BFloat16(torch) if fast or backend == "bfloat16" else Float32()
