"""The back end on a GPU: torch in bfloat16."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import numpy as np

from postproc.neighbours.collect_kernels import append
from postproc.neighbours.screen_base import Candidates, Factors, Met, Wanted
from postproc.neighbours.screen_kernels import LOST

# numbers of 32 bits differ by less, relatively, than what is compared with them is lowered by
_LOWERED = 2.0**-20


class DeviceTables:
    """Products on the device, in (n, m) bfloat16 tensors by column."""

    def __init__(self, products: OnDevice, tables: Sequence[Any]) -> None:
        self._products, self._tables = products, tables
        self._masks: tuple[Met, list[Any]] | None = None

    def collect(self, met: Met, wanted: Wanted, candidates: Candidates) -> None:
        """See `Tables`: candidates are chosen on the device, and only they come back."""
        columns = [(float(w), table) for w, table in zip(wanted.weights, self._tables, strict=True) if w]
        others, of_class = self._inside(met)
        last = met.first + others.shape[1]
        # lists within a class look at tiles with photos of the class only
        is_met = (met.class_start < last) & (met.class_stop > met.first)
        is_open, chosen = candidates.count != LOST, None
        # of a single column bounds are taken of what is chosen, for it orders as they do
        bounds = self._bounds(columns) if len(columns) > 1 else None
        for k, cut, inside, looks in (
            (wanted.k, candidates.cut, others, is_open),
            (wanted.k_class, candidates.cut_class, of_class, is_open & is_met),
        ):
            reach = np.where(looks, cut, np.float32(np.inf))
            if k and not np.isposinf(reach).all():
                least = self._least(reach, k, columns, bounds, inside, candidates.window)
                reached = inside & self._reaches(columns, bounds, least)
                chosen = reached if chosen is None else chosen | reached
        if chosen is None:
            return
        at, column = chosen.nonzero(as_tuple=True)
        if bounds is None:
            high, low = self._bounds([(weight, table[at, column]) for weight, table in columns])
        else:
            high, low = (bound[at, column] for bound in bounds)
        append(
            np.searchsorted(at.cpu().numpy(), np.arange(len(candidates.window) + 1)),
            column.cpu().numpy().astype(np.int32),
            high.cpu().numpy(),
            low.cpu().numpy(),
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

    def _inside(self, met: Met) -> list[Any]:
        """(n, m) bool: the photos that a query meets, and those of them that are of its class; for all lists alike."""
        if self._masks is None or self._masks[0] is not met:
            torch, tensor = self._products.torch, self._products.tensor
            others = tensor(met.query_group)[:, None] != tensor(met.gallery_group)
            place = torch.arange(met.first, met.first + others.shape[1], device=others.device)
            of_class = (place >= tensor(met.class_start)[:, None]) & (place < tensor(met.class_stop)[:, None])
            self._masks = met, [others, of_class & others]
        return self._masks[1]

    def _bounds(self, columns: Sequence[tuple[float, Any]]) -> tuple[Any, Any]:
        """What the weighted sums are at most and at least, in float32."""
        high, low = 0.0, 0.0
        for weight, products in columns:
            value = products.float()
            high = high + weight * (value + self._products.rounding * value.abs())
            low = low + weight * (value - self._products.rounding * value.abs())
        return high, low

    def _reaches(self, columns: Sequence[tuple[float, Any]], bounds: tuple[Any, Any] | None, least: Any) -> Any:
        """(n, m) bool: what reaches the (n,) cuts at most; of a single column a little more, for one comparison."""
        if bounds is not None:
            return bounds[0] >= least[:, None]
        ((weight, table),) = columns
        sign = self._products.torch.sign(least)
        product = least.double() / (weight * (1.0 + sign * self._products.rounding))
        # a cut that nothing reaches becomes NaN, which nothing reaches either
        return table >= (product - _LOWERED * product.abs()).float()[:, None]

    def _least(
        self,
        reach: np.ndarray,
        k: int,
        columns: Sequence[tuple[float, Any]],
        bounds: tuple[Any, Any] | None,
        inside: Any,
        window: np.ndarray,
    ) -> Any:
        """Cuts; in the first tile what the k best of this tile alone allow: or all would come back."""
        least = self._products.tensor(reach)
        if np.isneginf(reach).any() and inside.shape[1] > k:
            low = columns[0][1] if bounds is None else bounds[1]
            kth = low.masked_fill(~inside, -self._products.torch.inf).topk(k, dim=1).values[:, -1].float()
            if bounds is None:
                kth = self._bounds([(columns[0][0], kth)])[1]
            reachable = kth - 2.0 * self._products.tensor(window).float() - _LOWERED * (1.0 + kth.abs())
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
        # what lies on the device: a block's queries, by tile, and the photos of the last tile
        self._owners: list[weakref.ref[np.ndarray]] = []
        self._queries: dict[tuple[int, int], list[Any]] = {}
        self._photos: tuple[weakref.ref[np.ndarray], list[list[Any]]] | None = None

    def tensor(self, array: np.ndarray) -> Any:
        """A copy on the device."""
        return self.torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def multiply(self, query: Sequence[Factors], gallery: Sequence[Sequence[Factors]]) -> DeviceTables:
        """See `Products`; bits are copied to the device once, for copying takes longer than multiplying."""
        first = gallery[0][0].bits
        if self._photos is None or self._photos[0]() is not first:
            self._photos = weakref.ref(first), [[self._bits(view.bits) for view in views] for views in gallery]
        tables = []
        for left, views in zip(self._on_device([each.bits for each in query]), self._photos[1], strict=True):
            tables.append(reduce(self.torch.maximum, (left @ view.T for view in views)))
        return DeviceTables(self, tables)

    def _on_device(self, query: Sequence[np.ndarray]) -> list[Any]:
        """A tile of queries; those of another block drop what is there."""
        owners = [bits if bits.base is None else bits.base for bits in query]
        if len(owners) != len(self._owners) or any(
            kept() is not owner for kept, owner in zip(self._owners, owners, strict=True)
        ):
            self._owners, self._queries = [weakref.ref(owner) for owner in owners], {}
        tile = query[0].ctypes.data, len(query[0])
        if tile not in self._queries:
            self._queries[tile] = [self._bits(bits) for bits in query]
        return self._queries[tile]

    def _bits(self, bits: np.ndarray) -> Any:
        return self.tensor(bits).view(self.torch.bfloat16)

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
