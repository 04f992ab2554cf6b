"""A search split into jobs that need no mask: queries, and the gallery photos that all of them may meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError

# rounding a gallery photo once more costs as much as multiplying it with this many queries
_ROUNDING_COST = 100
_MOST_GROUPS = 64


@dataclass(frozen=True)
class Job:
    """Queries that meet the same gallery photos, save those of a query's own group.

    Attributes
    ----------
    queries : (n,) int array
        Positions in the search's `rows`.
    gallery : (m,) int32 array
        Gallery rows, ascending.
    """

    queries: np.ndarray
    gallery: np.ndarray


def by_row(what: str, values: np.ndarray, n: int) -> np.ndarray:
    """Check that there is one integer a row."""
    array = np.asarray(values)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise FinblendError(f"{what} must be {n} integers, but got {array.dtype} of shape {array.shape}")
    return array


def jobs(
    query_group: np.ndarray,
    gallery_group: np.ndarray,
    query_class: np.ndarray | None = None,
    gallery_class: np.ndarray | None = None,
) -> Iterator[Job]:
    """Split by class, and by group where that saves more products than it costs in rounding again.

    Parameters
    ----------
    query_group, query_class : (n,) int arrays
        Of the search's `rows`.
    gallery_group, gallery_class : (m,) int arrays
    """
    if query_class is None or gallery_class is None:
        everything = np.arange(len(gallery_group), dtype=np.int32)
        yield from _by_group(query_group, gallery_group, np.arange(len(query_group)), everything)
        return
    for queries in _sorted_sets(query_class):
        if len(queries):
            gallery = np.flatnonzero(gallery_class == query_class[queries[0]]).astype(np.int32)
            yield from _by_group(query_group, gallery_group, queries, gallery)


def _by_group(
    query_group: np.ndarray, gallery_group: np.ndarray, queries: np.ndarray, gallery: np.ndarray
) -> Iterator[Job]:
    groups, sizes = np.unique(query_group[queries], return_counts=True)
    photo_group = gallery_group[gallery]
    if len(groups) <= _MOST_GROUPS:
        saved = sum(int(n) * int((photo_group == group).sum()) for group, n in zip(groups, sizes, strict=True))
        if saved >= _ROUNDING_COST * (len(groups) - 1) * len(gallery):
            for group in groups:
                yield Job(queries[query_group[queries] == group], gallery[photo_group != group])
            return
    yield Job(queries, gallery)


def _sorted_sets(values: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of each distinct value, ascending."""
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    yield from np.split(order, np.flatnonzero(sorted_values[1:] != sorted_values[:-1]) + 1)
