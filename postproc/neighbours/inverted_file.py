"""faiss' inverted file over a space's gallery, in its leading directions: which photos are worth comparing exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from cv.extras import load_extra
from postproc.neighbours.space import NOBODY, Space, norms

# wider photos are compared in so many leading directions: the inner products that matter lie in these, nearly
DIRECTIONS = 256
# photos that directions are learnt from, and rounds of subspace iteration (Halko, Martinsson and Tropp 2011, 4.4)
_SAMPLE, _ROUNDS = 4096, 3
# photos a cell that its centre is learnt from, and rounds of k-means
_PER_CELL, _KMEANS = 64, 10
# cells a query looks into: the nearest
PROBES = 128
# numbers of unit vectors that are held at a time: 32 MiB
_AT_ONCE = 1 << 23


class InvertedFile:
    """faiss' `IndexIVFScalarQuantizer` of a gallery's unit vectors, of float16 numbers.

    A photo with several parts is the concatenation of its unit vectors, so that an inner product is the sum over parts;
    a photo with several views is so many entries. Memory: 2 x min(width, 256) + 8 bytes a photo and view; while it is
    made, 16 KiB a number of a photo's width beside, and the 64 photos a cell that its centres are learnt from: some
    200 MB at 510,000 photos. Centres are learnt with a fixed seed; what multiplies is a BLAS, so that another number of
    threads may move a photo that lies between two cells.

    Parameters
    ----------
    space : Space
    probes : int
        Cells that a query looks into.

    Raises
    ------
    FinblendError
        If faiss is not installed, or a photo has no direction.
    """

    def __init__(self, space: Space, probes: int = PROBES) -> None:
        faiss: Any = load_extra("faiss", "marks")
        self._space = space
        n, views = space.n_gallery, range(len(space.gallery[0]))
        self._basis = _leading(_unit(space.gallery, 0, _drawn(n, _SAMPLE)))
        width = sum(part[0].shape[1] for part in space.gallery) if self._basis is None else self._basis.shape[1]
        cells = max(1, int(4 * np.sqrt(n)) if n > _PER_CELL**2 else n // _PER_CELL)
        self._index = faiss.index_factory(width, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
        self._index.by_residual = False
        self._index.cp.niter, self._index.cp.min_points_per_centroid = _KMEANS, 1
        taught = _drawn(n, cells * _PER_CELL)
        self._index.train(self._entries(space.gallery, 0, taught))
        at_once = max(1, _AT_ONCE // sum(part[0].shape[1] for part in space.gallery))
        for view in views:
            for start in range(0, n, at_once):
                self._index.add(self._entries(space.gallery, view, np.arange(start, min(n, start + at_once))))
        self._asked = faiss.SearchParametersIVF(nprobe=min(probes, cells))

    def search(self, view: int, rows: np.ndarray, k: int) -> np.ndarray:
        """(n, k x gallery views) gallery rows of the nearest entries of some queries; -1 where there are fewer."""
        query = self._entries(self._space.query, view, rows)
        _, found = self._index.search(query, k * len(self._space.gallery[0]), params=self._asked)
        return np.where(found < 0, NOBODY, found % self._space.n_gallery)

    def _entries(self, parts: tuple[tuple[np.ndarray, ...], ...], view: int, rows: np.ndarray) -> np.ndarray:
        """(n, width) float32 vectors as the index holds them."""
        at_once = max(1, _AT_ONCE // sum(part[view].shape[1] for part in parts))
        blocks = []
        for start in range(0, len(rows), at_once):
            unit = _unit(parts, view, rows[start : start + at_once])
            blocks.append(unit if self._basis is None else unit @ self._basis)
        return np.concatenate(blocks)


def _unit(parts: tuple[tuple[np.ndarray, ...], ...], view: int, rows: np.ndarray) -> np.ndarray:
    """(n, width of all parts) float32: each part's unit vector, side by side."""
    return np.concatenate([part[view][rows] / norms(part[view], rows)[:, None] for part in parts], axis=1).astype("f4")


def _drawn(n: int, sample: int) -> np.ndarray:
    """Rows drawn with a fixed seed, ascending: they are read from a file."""
    return np.sort(np.random.default_rng(0).permutation(n)[:sample])


def _leading(sample: np.ndarray) -> np.ndarray | None:
    """(width, 256) float32 orthonormal directions that most of the sample lies in; None where that is no narrower."""
    width = sample.shape[1]
    if width <= DIRECTIONS:
        return None
    basis = np.random.default_rng(0).standard_normal((width, DIRECTIONS), dtype=np.float32)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(sample.T @ (sample @ basis))
    return basis
