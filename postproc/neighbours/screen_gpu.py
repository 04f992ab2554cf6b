"""The back end on a GPU: torch in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import numpy as np

from postproc.neighbours.collect_kernels import append
from postproc.neighbours.screen_base import Candidates, Factors, Met, Wanted
from postproc.neighbours.screen_kernels import LOST


class DeviceTables:
    """Products on the device, in (n, m) bfloat16 tensors by column."""

    def __init__(self, products: OnDevice, tables: Sequence[Any]) -> None:
        self._products, self._tables = products, tables

    def collect(self, met: Met, wanted: Wanted, candidates: Candidates) -> None:
        """See `Tables`: candidates are chosen on the device, and only they come back."""
        torch, tensor = self._products.torch, self._products.tensor
        high, low = self._bounds(wanted)
        own = tensor(met.query_group)[:, None] == tensor(met.gallery_group)
        place = torch.arange(met.first, met.first + high.shape[1], device=high.device)
        is_class = (place >= tensor(met.class_start)[:, None]) & (place < tensor(met.class_stop)[:, None])
        reach = [candidates.cut.copy(), candidates.cut_class.copy()]
        for cut in reach:
            cut[candidates.count == LOST] = np.inf
        chosen = torch.zeros_like(own)
        for k, cut, inside in ((wanted.k, reach[0], ~own), (wanted.k_class, reach[1], is_class & ~own)):
            if k:
                chosen |= inside & (high >= self._least(cut, k, low, inside, candidates.window)[:, None])
        at, column = (positions.cpu().numpy() for positions in chosen.nonzero(as_tuple=True))
        append(
            np.searchsorted(at, np.arange(len(candidates.window) + 1)),
            column.astype(np.int32),
            high[chosen].cpu().numpy(),
            low[chosen].cpu().numpy(),
            met.first,
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

    def _bounds(self, wanted: Wanted) -> tuple[Any, Any]:
        """What the weighted sums are at most and at least, in float32."""
        high, low = 0.0, 0.0
        for weight, table in zip(wanted.weights, self._tables, strict=True):
            if weight:
                value = table.float()
                high = high + weight * (value + self._products.rounding * value.abs())
                low = low + weight * (value - self._products.rounding * value.abs())
        return high, low

    def _least(self, cut: np.ndarray, k: int, low: Any, inside: Any, window: np.ndarray) -> Any:
        """Cuts; in the first tile what the k best of this tile alone allow: or all would come back."""
        least = self._products.tensor(cut)
        if np.isneginf(cut).any() and low.shape[1] > k:
            kth = low.masked_fill(~inside, -self._products.torch.inf).topk(k, dim=1).values[:, -1]
            reachable = kth - 2.0 * self._products.tensor(window).float() - 2.0**-20 * (1.0 + kth.abs())
            least = self._products.torch.maximum(least, reachable)
        return least

    def turned(self) -> DeviceTables:
        """See `Tables`."""
        return DeviceTables(self._products, [table.T for table in self._tables])


class OnDevice:
    """torch on a GPU, in bfloat16.

    The tests run it with the CPU as the device. On a GPU it has not run yet.
    """

    kind: type[np.integer[Any]] = np.int16
    dropped_bits = 16
    rounding = 2.0**-8
    roundings_a_term = 4
    tile = 8192

    def __init__(self, torch: Any, device: str) -> None:
        self.torch, self._device = torch, device

    def tensor(self, array: np.ndarray) -> Any:
        """A copy on the device."""
        return self.torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def multiply(self, query: Sequence[Factors], gallery: Sequence[Sequence[Factors]]) -> DeviceTables:
        """See `Products`."""
        tables = []
        for of_queries, views in zip(query, gallery, strict=True):
            left = self.tensor(of_queries.bits).view(self.torch.bfloat16)
            products = (left @ self.tensor(view.bits).view(self.torch.bfloat16).T for view in views)
            tables.append(reduce(self.torch.maximum, products))
        return DeviceTables(self, tables)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """See `Products`; sums are kept in float32, which is not the default of torch."""
        matmul = self.torch.backends.cuda.matmul
        before = matmul.allow_bf16_reduced_precision_reduction
        matmul.allow_bf16_reduced_precision_reduction = False
        try:
            yield
        finally:
            matmul.allow_bf16_reduced_precision_reduction = before
