"""Whitening: give every direction of an embedding the weight that tells individuals apart.

A network trained for something else spends most of its cosine on what all photos of a species share. Dividing by the
total spread evens the directions out (Jegou and Chum 2012, "Negative evidences and co-occurrences in image retrieval:
the benefit of PCA and whitening"); dividing by the spread *within* individuals suppresses pose, light and background
(WCCN: Hatch, Kajarekar and Stolcke 2006, from speaker verification). Both are linear maps between unit vectors, so a
similarity stays a cosine and a blend stays a concatenation. Fitted on gallery photos only, never on the query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cv.errors import FinblendError

KINDS = ("none", "total", "within")
# the share of the mean eigenvalue added to each: without it, directions of pure noise would be blown up
SHRINKAGE = 0.1
MAX_WIDTH = 1024
# individuals with several photos needed for the spread within individuals to be worth estimating
MIN_PAIRS = 50
_BLOCK = 4096
_TINY = 1e-12


@dataclass(frozen=True)
class Whitening:
    """A fitted map from embeddings to unit vectors in the whitened space.

    Attributes
    ----------
    mean : (d,) float32 array
        Subtracted from unit vectors.
    total : (d, r) float32 array
        Divides by the total spread.
    within : (r, r) float32 array or None
        Divides unit vectors of that space by the spread within individuals.
    """

    mean: np.ndarray
    total: np.ndarray
    within: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Width of the whitened space."""
        return int(self.total.shape[1])

    def without_within(self) -> Whitening:
        """The first step alone: kind "total"."""
        return Whitening(self.mean, self.total)

    def apply(self, embeddings: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Map (n, d) embeddings to (n, width) float32 unit vectors, block by block."""
        result = np.empty((len(embeddings), self.width), dtype=np.float32) if out is None else out
        for start in range(0, len(embeddings), _BLOCK):
            block = _unit(np.asarray(embeddings[start : start + _BLOCK]))
            block -= self.mean
            block = _unit(block @ self.total)
            result[start : start + _BLOCK] = block if self.within is None else _unit(block @ self.within)
        return result

    def apply_within(self, first: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Map what `without_within` made of embeddings: the second step alone, to the same as `apply` does at once."""
        if self.within is None:
            raise FinblendError("a whitening of kind total has one step only")
        result = np.empty_like(first) if out is None else out
        for start in range(0, len(first), _BLOCK):
            result[start : start + _BLOCK] = _unit(first[start : start + _BLOCK] @ self.within)
        return result


def fit_whitening(views: Sequence[np.ndarray], labels: np.ndarray, rows: np.ndarray, kind: str) -> Whitening:
    """Fit on gallery photos.

    Parameters
    ----------
    views : sequence of (n, d) float arrays
        All views of the photos; each view of each photo counts as one more photo.
    labels : (n,) int array
        Individual of each photo; used by kind "within" only.
    rows : (m,) int array
        The photos to fit on: those of the gallery.
    kind : {"total", "within"}

    Returns
    -------
    Whitening

    Raises
    ------
    FinblendError
        If there are fewer than three photos, or, for "within", too few individuals with several.
    """
    if kind not in KINDS[1:]:
        raise FinblendError(f"kind must be total or within, but got kind={kind!r}")
    first = fit_total(views, rows)
    if kind == "total":
        return first
    several = _several(labels, rows)
    mapped = [first.apply(view[several]) for view in views]
    return fit_within(first, mapped, labels[several], np.arange(len(several)))


def fit_total(views: Sequence[np.ndarray], rows: np.ndarray) -> Whitening:
    """Fit kind "total"; parameters and errors as of `fit_whitening`."""
    n = len(rows) * len(views)
    if n < 3:
        raise FinblendError(f"whitening needs at least 3 photos, got {n}")
    sums = [_unit(view[block]).sum(axis=0, dtype=np.float64) for view in views for block in _blocks(rows)]
    mean = np.asarray(np.sum(sums, axis=0) / n, dtype=np.float32)
    width = min(MAX_WIDTH, n - 1, len(mean))
    if n < len(mean):
        centred = np.concatenate([_unit(view[rows]) - mean for view in views])
        return Whitening(mean, _inverse_root_of_few(centred, width))
    scatter = _scatter(_unit(view[block]) - mean for view in views for block in _blocks(rows))
    return Whitening(mean, _inverse_root(scatter / n, width))


def fit_within(first: Whitening, mapped: Sequence[np.ndarray], labels: np.ndarray, rows: np.ndarray) -> Whitening:
    """Fit the second step of kind "within" on what its first made of the photos.

    Parameters
    ----------
    first : Whitening
        From `fit_total`.
    mapped : sequence of (n, width) float32 arrays
        All views of the photos, as `first` maps them.
    labels, rows
        As of `fit_whitening`, with its errors.
    """
    several = _several(labels, rows)
    counts = np.bincount(labels[several])
    # centres over all views, then the spread around them
    centre = np.zeros((len(counts), first.width))
    for view in mapped:
        for block in _blocks(several):
            order = block[np.argsort(labels[block], kind="stable")]
            who, start = np.unique(labels[order], return_index=True)
            centre[who] += np.add.reduceat(view[order], start, axis=0, dtype=np.float64)
    used = np.maximum(counts, 1)[:, None] * len(mapped)
    centre = (centre / used).astype(np.float32)
    scatter = _scatter(view[block] - centre[labels[block]] for view in mapped for block in _blocks(several))
    freedom = len(several) * len(mapped) - int((counts > 0).sum())
    return Whitening(first.mean, first.total, _inverse_root(scatter / freedom, first.width))


def _several(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of individuals with several photos among them."""
    several = rows[np.bincount(labels[rows])[labels[rows]] > 1]
    if len(several) < MIN_PAIRS:
        raise FinblendError(f"kind within needs {MIN_PAIRS} photos of individuals with several, got {len(several)}")
    return np.asarray(several)


def _inverse_root(covariance: np.ndarray, width: int) -> np.ndarray:
    """(d, width) map that divides the widest directions by the root of their shrunk spread.

    Where all directions stay, a cosine does not tell one root from another: Cholesky's takes a tenth of the time that
    the symmetric one does.
    """
    from scipy.linalg import lapack

    d = len(covariance)
    if width == d:
        shrunk = covariance + (SHRINKAGE * np.trace(covariance) / d + _TINY) * np.eye(d)
        with _one_thread():
            lower, failed = lapack.dpotrf(shrunk, lower=1, clean=1)
            if not failed:
                return np.ascontiguousarray(lapack.dtrtri(lower, lower=1)[0].T, dtype=np.float32)
    values, vectors = _widest(covariance, width)
    return _scaled(values[::-1], vectors[:, ::-1])


def _inverse_root_of_few(centred: np.ndarray, width: int) -> np.ndarray:
    """The same from fewer photos than directions: their products have the same spectrum and are a smaller matrix."""
    # all of it on one thread: how a product is cut among several shows in its last bits, and then in the narrowest
    # directions
    with _one_thread():
        values, vectors = _eigh((centred @ centred.T).astype(np.float64) / len(centred))
        values, vectors = values[::-1][:width], vectors[:, ::-1][:, :width].astype(np.float32)
        directions = centred.T @ vectors
    length = np.linalg.norm(directions, axis=0)
    return _scaled(values, np.divide(directions, length, out=np.zeros_like(directions), where=length > 0))


def _widest(covariance: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, ascending, and vectors.

    In float32, half the time: what it gets wrong is small beside the share that is added to each eigenvalue, and
    cosines change by some 1e-6.
    """
    from scipy.linalg import eigh

    d, single = len(covariance), covariance.astype(np.float32)
    try:
        with _one_thread():
            values, vectors = eigh(single, subset_by_index=(d - width, d - 1), driver="evr", check_finite=False)
    except np.linalg.LinAlgError:
        values, vectors = (part[..., d - width :] for part in _eigh(covariance))
    return np.asarray(values, dtype=np.float64), vectors


def _eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and vectors."""
    with _one_thread():
        values, vectors = np.linalg.eigh(matrix)
    return values, vectors


def _one_thread() -> Any:
    """One thread for a factorisation: on a busy machine BLAS threads wait ten times their work."""
    return threadpool_limits(limits=1, user_api="blas")


def _scaled(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    values = np.maximum(values, 0.0)
    return np.asarray(vectors / np.sqrt(values + SHRINKAGE * values.mean() + _TINY), dtype=np.float32)


def _scatter(blocks: Iterable[np.ndarray]) -> np.ndarray:
    total: np.ndarray | float = 0.0
    for block in blocks:
        total = total + (block.T @ block).astype(np.float64)
    return np.asarray(total)


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


def _unit(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    length = np.linalg.norm(array, axis=1, keepdims=True)
    return np.asarray(np.divide(array, length, out=np.full_like(array, 1e-6), where=length > 0))
