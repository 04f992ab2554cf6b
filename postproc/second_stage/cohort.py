"""The gallery's background: what a gallery photo scores with animals that it does not show.

Some photos are like everybody: blurred ones, animals without marks. They stand high in many lists in which they do not
belong. Their similarity to their own nearest strangers tells them apart. (Normalisation by a cohort on the enrolment
side, as in Matejka et al. 2017, "Analysis of score normalization in multilingual speaker recognition"; hubs:
Radovanovic et al. 2010, "Hubs in space".)
"""

from __future__ import annotations

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


def of_individuals(background: np.ndarray, labels: np.ndarray, n_individuals: int) -> np.ndarray:
    """Mean background of each individual's photos.

    Parameters
    ----------
    background : (n, columns) float array
        Of photos; NaN where it is not known.
    labels : (n,) int array
    n_individuals : int

    Returns
    -------
    (n_individuals, columns) float64 array
        The mean over all photos where nothing is known of an individual; 0 where nothing is known at all.

    Examples
    --------
    >>> of_individuals(np.array([[0.2], [0.4], [np.nan]]), np.array([0, 0, 1]), 2).round(3)
    array([[0.3],
           [0.3]])
    """
    out = np.zeros((n_individuals, background.shape[1]))
    for c, column in enumerate(background.T):
        known = ~np.isnan(column)
        count = np.bincount(labels[known], minlength=n_individuals)
        total = np.bincount(labels[known], weights=column[known], minlength=n_individuals)
        usual = column[known].mean() if known.any() else 0.0
        out[:, c] = np.divide(total, count, out=np.full(n_individuals, usual), where=count > 0)
    return out
