"""The gallery's background: what a gallery photo scores with animals that it does not show.

Some photos are like everybody: blurred ones, animals without marks. They stand high in many lists in which they do not
belong. Their similarity to their own nearest strangers tells them apart. (Normalisation by a cohort on the enrolment
side, as in Matejka et al. 2017, "Analysis of score normalization in multilingual speaker recognition"; hubs:
Radovanovic et al. 2010, "Hubs in space".)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from postproc.evidence.evidence import Evidence
from postproc.second_stage.cohort_kernels import cohort_means

# individuals that a photo's background is the mean of
COHORT = 8
NO_FOLD = -1


def cohort_background(
    evidence: Evidence,
    weights: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    hidden: int = NO_FOLD,
    k: int = COHORT,
) -> np.ndarray:
    """Mean similarity of each photo to the individuals most like it, its own left out.

    Parameters
    ----------
    evidence : Evidence
        Of the catalogue's n photos as queries.
    weights : (sources,) float array >= 0
        The blend's.
    labels : (n,) int array
        Individual of each photo.
    fold : (n,) int array
        Of the photos, as gallery photos.
    hidden : int
        A fold whose photos have no say: a photo must not shape the background of those it is compared with.
    k : int >= 1
        How many individuals.

    Returns
    -------
    (n, sources + 1) float64 array
        The blend's last; NaN where there is nobody else.
    """
    out = np.empty((evidence.n_queries, len(evidence.sources) + 1))
    cohort_means(
        np.asarray(weights, dtype=np.float64),
        evidence.channels,
        evidence.group_start,
        evidence.individual,
        evidence.photo_start,
        evidence.photo,
        evidence.similarity,
        np.asarray(labels, dtype=np.int64),
        np.asarray(fold, dtype=np.int64),
        hidden,
        k,
        out,
    )
    return out


@dataclass(frozen=True, kw_only=True)
class GalleryBackground:
    """Mean background of individuals' photos in the gallery, less those that a query does not meet.

    A query's own photo, and what else is of its group, must not tell of its individual: their background is told by
    the very label that is asked for.

    Attributes
    ----------
    total, count : (n_individuals, columns) float64 arrays
        Sum of the photos' backgrounds, and of how many they are known.
    cell : (cells,) int64 array
        Ascending keys group * n_individuals + individual of the photos that there are.
    cell_total, cell_count : (cells, columns) float64 arrays
        The same of these photos alone.
    usual : (columns,) float64 array
        What counts where nothing is known of an individual.

    Examples
    --------
    Two photos of animal 0; a query of group 1 does not meet the first one.

    >>> values, labels, groups = np.array([[0.2], [0.4], [np.nan]]), np.array([0, 0, 1]), np.array([1, 2, 3])
    >>> background = GalleryBackground.of(values, labels, groups, told=np.ones(3, dtype=bool))
    >>> background.met(np.array([1, 5]), np.array([[0, 1], [0, 1]]))[:, :, 0].round(2)
    array([[0.4, 0.3],
           [0.3, 0.3]])
    """

    total: np.ndarray
    count: np.ndarray
    cell: np.ndarray
    cell_total: np.ndarray
    cell_count: np.ndarray
    usual: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, groups: np.ndarray, told: np.ndarray) -> GalleryBackground:
        """From backgrounds of photos.

        Parameters
        ----------
        values : (n, columns) float array
            NaN where it is not known.
        labels, groups : (n,) int arrays
        told : (n,) bool array
            The photos whose mean is the usual background; without any it is 0.
        """
        known, number = ~np.isnan(values), np.nan_to_num(values)
        people = int(labels.max()) + 1
        cell, at = np.unique(groups.astype(np.int64) * people + labels, return_inverse=True)
        cell_total, cell_count = np.zeros((2, len(cell), values.shape[1]))
        np.add.at(cell_total, at, number)
        np.add.at(cell_count, at, known)
        total, count = np.zeros((2, people, values.shape[1]))
        np.add.at(total, cell % people, cell_total)
        np.add.at(count, cell % people, cell_count)
        usual = number[told].sum(axis=0) / np.maximum(known[told].sum(axis=0), 1)
        return cls(total=total, count=count, cell=cell, cell_total=cell_total, cell_count=cell_count, usual=usual)

    def met(self, query_group: np.ndarray, individual: np.ndarray) -> np.ndarray:
        """Mean over the photos of individuals that queries meet.

        Parameters
        ----------
        query_group : (r,) int array
            The group that each query does not meet.
        individual : (r, places) int array >= 0

        Returns
        -------
        (r, places, columns) float64 array
        """
        asked = query_group.astype(np.int64)[:, None] * len(self.total) + individual
        place = np.minimum(np.searchsorted(self.cell, asked), len(self.cell) - 1)
        in_group = self.cell[place] == asked
        total, count = self.total[individual], self.count[individual]
        total[in_group] -= self.cell_total[place[in_group]]
        count[in_group] -= self.cell_count[place[in_group]]
        usual = np.broadcast_to(self.usual, total.shape).copy()
        np.divide(total, count, out=usual, where=count > 0)
        return usual
