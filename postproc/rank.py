"""From evidence and weights to the five best individuals of every query, in one fused pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from cv.metrics import MAX_NAMES
from postproc.evidence import Evidence
from postproc.knn import NOBODY
from postproc.rank_kernels import rank_groups

# five to answer with, one more to tell the background from, one more for an individual that is hidden
DEPTH = MAX_NAMES + 2


@dataclass(frozen=True)
class Ranking:
    """The best individuals of each query.

    Attributes
    ----------
    individual : (n, m) int32 array
        Best first; -1 where there are fewer candidates.
    score : (n, m) float32 array
        -inf where there is nobody.
    photo : (n, m) int32 array
        The gallery photo most like the query, in the blend.
    """

    individual: np.ndarray
    score: np.ndarray
    photo: np.ndarray

    def first(self, depth: int) -> Ranking:
        """The best `depth` of each query."""
        return Ranking(self.individual[:, :depth], self.score[:, :depth], self.photo[:, :depth])

    def hiding(self, individuals: np.ndarray) -> Ranking:
        """Take one individual out of each query's ranking, as if the gallery had never known it.

        Parameters
        ----------
        individuals : (n,) int array

        Returns
        -------
        Ranking
            One place shorter; exact, because a list of m - 1 needs no more than m names.

        Examples
        --------
        >>> ranking = Ranking(np.array([[7, 3, 5]]), np.array([[0.9, 0.8, 0.7]]), np.array([[0, 1, 2]]))
        >>> ranking.hiding(np.array([3])).individual
        array([[7, 5]])
        """
        hit = self.individual == individuals[:, None]
        at = np.where(hit.any(axis=1), hit.argmax(axis=1), self.individual.shape[1] - 1)
        columns = np.arange(self.individual.shape[1] - 1)
        source = columns + (columns >= at[:, None])
        return Ranking(*(np.take_along_axis(a, source, axis=1) for a in (self.individual, self.score, self.photo)))

    def against_background(self, factor: float) -> Ranking:
        """Take `factor` times the query's background off its scores, and keep the best five.

        The background is the mean score of the runners-up, places 2 to 6: what this photo scores with animals it does
        not show. A blurred photo scores low with everybody, its own individual included, and would pass for somebody
        new; what stands out from its own background does not. (Test normalisation: Auckenthaler, Carey
        and Lloyd-Thomas 2000, "Score normalization for text-independent speaker verification systems".) The order of
        names does not change.

        Parameters
        ----------
        factor : float >= 0

        Returns
        -------
        Ranking

        Examples
        --------
        >>> ranking = Ranking(np.array([[7, 3]]), np.array([[0.75, 0.5]]), np.array([[0, 1]]))
        >>> ranking.against_background(1.0).score
        array([[0.25, 0.  ]])
        """
        runners_up = self.score[:, 1 : MAX_NAMES + 1].astype(np.float64)
        there = np.isfinite(runners_up)
        mean = np.where(there, runners_up, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        best = self.first(MAX_NAMES)
        return Ranking(best.individual, best.score - factor * mean[:, None], best.photo)


def rank(
    evidence: Evidence,
    weights: np.ndarray,
    *,
    top_photos: int = 1,
    species_penalty: float = 0.0,
    doubt: np.ndarray | None = None,
    species_of_individual: np.ndarray | None = None,
) -> Ranking:
    """Score every candidate individual and keep the best seven.

    A photo's score is the weighted sum over sources. An individual's, per query view, is the mean of its best
    `top_photos` photos (of all, if it has fewer); then the mean over query views, less the species penalty times the
    doubt in its species. A photo outside the candidates has an unknown score, not 0: where one is needed to fill the
    mean, the most it can be is taken, the blended K-th similarity (or the least of those known, if that is lower).
    Individuals without a candidate photo are not ranked. Ties go to the smaller label.

    Parameters
    ----------
    evidence : Evidence
    weights : (sources,) float array >= 0, summing to 1
    top_photos : int >= 1
    species_penalty : float >= 0
    doubt : (n, n_species) float32 array, optional
        From `species_doubt`; needed for a penalty.
    species_of_individual : (n_individuals,) int32 array, optional
        Needed for a penalty.

    Returns
    -------
    Ranking
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (len(evidence.sources),) or not (weights >= 0).all() or not np.isclose(weights.sum(), 1.0):
        raise FinblendError(f"weights >= 0 summing to 1, one a source, must hold, but got weights={weights.tolist()}")
    if top_photos < 1:
        raise FinblendError(f"top_photos >= 1 must hold, but got top_photos={top_photos}")
    if not species_penalty >= 0:
        raise FinblendError(f"species_penalty >= 0 must hold, but got species_penalty={species_penalty}")
    if species_penalty > 0 and (doubt is None or species_of_individual is None):
        raise FinblendError("a species penalty needs the doubt per species and the species of each individual")
    if doubt is None or species_of_individual is None:
        doubt, species_of_individual = np.zeros((evidence.n_queries, 1), np.float32), np.zeros(0, np.int32)
        species_penalty = 0.0
    n = evidence.n_queries
    individual = np.full((n, DEPTH), NOBODY, dtype=np.int32)
    score = np.full((n, DEPTH), -np.inf, dtype=np.float32)
    photo = np.full((n, DEPTH), NOBODY, dtype=np.int32)
    rank_groups(
        _column_weights(evidence, weights),
        evidence.group_start,
        evidence.individual,
        evidence.gallery_photos,
        evidence.photo_start,
        evidence.photo,
        evidence.similarity,
        evidence.horizon,
        top_photos,
        np.float64(species_penalty),
        doubt,
        species_of_individual,
        individual,
        score,
        photo,
    )
    return Ranking(individual, score, photo)


def _column_weights(evidence: Evidence, weights: np.ndarray) -> np.ndarray:
    """(views, columns): what each column of similarities weighs in each query view."""
    out = np.zeros((evidence.channels.shape[1], evidence.similarity.shape[1]))
    for s, weight in enumerate(weights):
        for v in range(out.shape[0]):
            out[v, evidence.channels[s, v]] += weight
    return out
