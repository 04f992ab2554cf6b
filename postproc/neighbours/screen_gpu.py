"""The back end on a GPU: torch in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import numpy as np

from postproc.neighbours.screen_base import Buffers, Tile
from postproc.neighbours.screen_kernels import LOST, append, floats_of_keys


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
            reachable = kth - self.rounding * kth.abs() - 2.0 * self._tensor(tile.window)
            least = torch.maximum(least.double(), reachable)
        chosen = (best >= least[:, None]) & (best > -torch.inf)
        at, column = (positions.cpu().numpy() for positions in chosen.nonzero(as_tuple=True))
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
