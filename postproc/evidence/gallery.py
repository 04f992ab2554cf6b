"""The gallery: who is on its photos, and which of them a query meets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.search import NOBODY

# the group of a query that meets every group
NO_GROUP = -2


@dataclass(frozen=True)
class Gallery:
    """Who is on the gallery photos, and whom each query meets.

    Attributes
    ----------
    labels : (n,) int32 array
        Individual of each photo.
    groups : (n,) int32 array or None
        Of each photo: its encounter or its fold; `NOBODY` for one that is of no group.
    selves : (queries,) int32 array or None
        The gallery photo that is the query itself, which it never meets; -1 where there is none.
    query_groups : (queries,) int32 array or None
        The group of gallery photos that each query does not meet, `NO_GROUP` where it meets all. Given, it goes with
        `groups`.

    Examples
    --------
    Three photos of animal 0, two of one encounter, and one of animal 1; each is asked against the other encounters.

    >>> encounter = np.array([0, 0, 1, 2])
    >>> gallery = Gallery(np.array([0, 0, 0, 1]), encounter, query_groups=encounter)
    >>> gallery.photos_met(np.arange(4), np.zeros(4, dtype=int)), gallery.people_met(np.arange(4))
    (array([1, 1, 2, 3]), array([2, 2, 2, 1], dtype=int32))
    """

    labels: np.ndarray
    groups: np.ndarray | None = None
    selves: np.ndarray | None = None
    query_groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.query_groups is not None and self.groups is None:
            raise FinblendError("query_groups say which groups queries do not meet, and go with groups")

    def own(self, query_rows: np.ndarray) -> np.ndarray:
        """(n,) int32 gallery photo that is the query itself, -1 for none, of some queries."""
        if self.selves is None:
            return np.full(len(query_rows), NOBODY, dtype=np.int32)
        return np.asarray(self.selves[query_rows], dtype=np.int32)

    def group_of(self, query_rows: np.ndarray) -> np.ndarray:
        """(n,) int32 group that some queries do not meet, `NO_GROUP` for none."""
        if self.query_groups is None:
            return np.full(len(query_rows), NO_GROUP, dtype=np.int32)
        return np.asarray(self.query_groups[query_rows], dtype=np.int32)

    @property
    def photo_groups(self) -> np.ndarray:
        """(n,) int32 group of every photo."""
        groups = np.full(len(self.labels), NOBODY) if self.groups is None else self.groups
        return np.asarray(groups, dtype=np.int32)

    def n_met(self, query_rows: np.ndarray) -> np.ndarray:
        """(n,) how many photos some queries meet, themselves not subtracted."""
        group, size = np.unique(self.photo_groups, return_counts=True)
        return np.asarray(len(self.labels) - _looked_up(group, size, self.group_of(query_rows)))

    def photos_met(self, query_rows: np.ndarray, individual: np.ndarray) -> np.ndarray:
        """How many photos of individuals queries meet, themselves left out.

        Parameters
        ----------
        query_rows : (n,) int array
        individual : (n,) or (n, places) int array >= 0

        Returns
        -------
        int64 array of the shape of `individual`
        """
        group, own = self.group_of(query_rows), self.own(query_rows)
        own_label = np.where(own >= 0, self.labels[own], NOBODY)
        if individual.ndim > 1:
            group, own_label = group[:, None], own_label[:, None]
        cell, count = self._cells
        in_group = _looked_up(cell, count, group * self._width + individual)
        return np.asarray(self._photos[individual] - in_group - (individual == own_label))

    def people_met(self, query_rows: np.ndarray) -> np.ndarray:
        """(n,) int32 how many individuals have photos that some queries meet, themselves not subtracted."""
        cell, count = self._cells
        # of whom the whole gallery has nothing but photos of that group
        groups, n_whole = np.unique(
            (cell // self._width)[count == self._photos[cell % self._width]], return_counts=True
        )
        missing = _looked_up(groups, n_whole, self.group_of(query_rows))
        return np.asarray(np.count_nonzero(self._photos) - missing, dtype=np.int32)

    @property
    def _width(self) -> np.int64:
        return np.int64(len(self._photos))

    @cached_property
    def _photos(self) -> np.ndarray:
        return np.bincount(self.labels).astype(np.int64)

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Ascending keys of (group, individual) that have photos, and how many: few beside groups x individuals."""
        return np.unique(self.photo_groups * self._width + self.labels, return_counts=True)


def _looked_up(keys: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Values of asked keys, 0 where there is no such key; keys ascend."""
    if not len(keys):
        return np.zeros(asked.shape, dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, values[at], 0)
