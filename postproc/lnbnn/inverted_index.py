"""The gallery's descriptors in cells (an inverted file): beyond the exact size, a query looks into a few cells only."""

from __future__ import annotations

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

    Memory: d + 8 bytes a descriptor, and the sample that the centres are learnt from, d x 160 bytes a cell.

    Parameters
    ----------
    gallery : PhotoDescriptors
    probes : int
        Cells that a query looks into.

    Raises
    ------
    FinblendError
        If faiss is not installed.
    """

    def __init__(self, gallery: PhotoDescriptors, probes: int = PROBES) -> None:
        try:
            import faiss
        except ModuleNotFoundError:
            raise FinblendError(f"a gallery of {len(gallery.photo)} descriptors needs faiss; {INSTALL}") from None
        self.photo, self._group = gallery.photo, gallery.group
        self._faiss: Any = faiss
        n, width = gallery.descriptors.shape
        cells = cells_of(n)
        self._index = faiss.index_factory(width, f"IVF{cells},SQ8", faiss.METRIC_L2)
        taught = np.random.default_rng(0).permutation(n)[: learnt_from(n)]
        self._index.train(gallery.descriptors[np.sort(taught)])
        self._index.add(gallery.descriptors)
        self._probes = min(probes, cells)

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
