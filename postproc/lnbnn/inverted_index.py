"""The gallery's descriptors in cells (an inverted file): beyond the exact size, a query looks into a few cells only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cv.errors import FinblendError
from postproc.lnbnn.votes import PhotoDescriptors

# descriptors a cell holds in the mean, and cells that a query looks into
CELL = 1024
PROBES = 32
# descriptors that the cells' centres are learnt from, per cell
_TAUGHT = 40
INSTALL = "pip install 'finblend[marks]'"


def cells_of(n: int) -> int:
    """Cells for n descriptors."""
    return max(1, n // CELL)


def learnt_from(n: int) -> int:
    """Descriptors that the cells' centres are learnt from."""
    return min(n, cells_of(n) * _TAUGHT)


class InvertedIndex:
    """faiss' inverted file of 8-bit descriptors.

    Memory: d + 8 bytes a descriptor, one part, and the sample that the centres are learnt from, d x 160 bytes a cell.

    Parameters
    ----------
    photo, group : (m,) int arrays
        As of `PhotoDescriptors`.
    parts : callable
        Gives the (m, d) descriptors, some at a time; called twice, to learn the cells' centres and to fill them.
    probes : int
        Cells that a query looks into.

    Raises
    ------
    FinblendError
        If faiss is not installed.
    """

    def __init__(
        self, photo: np.ndarray, group: np.ndarray, parts: Callable[[], Iterable[np.ndarray]], probes: int = PROBES
    ) -> None:
        try:
            import faiss
        except ModuleNotFoundError:
            raise FinblendError(f"a gallery of {len(photo)} descriptors needs faiss; {INSTALL}") from None
        self.photo, self._group = photo, group
        self._faiss: Any = faiss
        n, cells = len(photo), cells_of(len(photo))
        taught = np.zeros(n, dtype=bool)
        taught[np.random.default_rng(0).permutation(n)[: learnt_from(n)]] = True
        drawn, start = [], 0
        for part in parts():
            drawn.append(part[taught[start : start + len(part)]])
            start += len(part)
        sample = np.concatenate(drawn)
        self._index = faiss.index_factory(sample.shape[1], f"IVF{cells},SQ8", faiss.METRIC_L2)
        self._index.train(sample)
        for part in parts():
            self._index.add(part)
        self._probes = min(probes, cells)

    @classmethod
    def of(cls, gallery: PhotoDescriptors, probes: int = PROBES) -> InvertedIndex:
        """Of descriptors that are in memory."""
        return cls(gallery.photo, gallery.group, lambda: [gallery.descriptors], probes)

    def nearest(self, queries: PhotoDescriptors, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Nearest descriptors in the cells that are looked into, none of the query's group."""
        index = np.full((len(queries.photo), k), -1, dtype=np.int64)
        squared = np.full((len(queries.photo), k), np.inf, dtype=np.float32)
        for group in np.unique(queries.group):
            inside = queries.group == group
            chosen = self._faiss.IDSelectorBitmap(np.packbits(self._group != group, bitorder="little"))
            asked = self._faiss.SearchParametersIVF(sel=chosen, nprobe=self._probes)
            squared[inside], index[inside] = self._index.search(queries.descriptors[inside], k, params=asked)
        return index, np.sqrt(np.maximum(squared, 0.0))
