"""From evidence and weights to the five best individuals of every query, in one fused pass."""

from __future__ import annotations

from collections.abc import Callable
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
    bound : (n,) float32 array, optional
        The most that anybody can score who has no candidate photo, or whose photos outside the candidates could raise
        the score into the list: what scores above it is certain. -inf where everything is known, inf where a listed
        mean lacks photos.
    """

    individual: np.ndarray
    score: np.ndarray
    photo: np.ndarray
    bound: np.ndarray | None = None

    def first(self, depth: int) -> Ranking:
        """The best `depth` of each query."""
        return self._columns(lambda array: array[:, :depth])

    def take(self, rows: np.ndarray) -> Ranking:
        """The lists of some queries."""
        bound = None if self.bound is None else self.bound[rows]
        return Ranking(self.individual[rows], self.score[rows], self.photo[rows], bound)

    def _columns(self, change: Callable[[np.ndarray], np.ndarray]) -> Ranking:
        return Ranking(change(self.individual), change(self.score), change(self.photo), self.bound)

    def is_open(self, depth: int) -> np.ndarray:
        """(n,) bool: whether the first `depth` places could change if the whole gallery were looked at."""
        if self.bound is None:
            return np.zeros(len(self.score), dtype=bool)
        return np.asarray(
            np.isposinf(self.bound) | ~((self.score[:, depth - 1] > self.bound) | np.isneginf(self.bound))
        )

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
        return self._columns(lambda array: np.take_along_axis(array, source, axis=1))

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
        array([[0.25, 0.  ]], dtype=float32)
        """
        runners_up = self.score[:, 1 : MAX_NAMES + 1].astype(np.float64)
        there = np.isfinite(runners_up)
        mean = np.where(there, runners_up, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        best = self.first(MAX_NAMES)
        # float32, as the compiled trial has them: thresholds lie between such numbers
        score = (best.score.astype(np.float64) - factor * mean[:, None]).astype(np.float32)
        return Ranking(best.individual, score, best.photo)


@dataclass(frozen=True)
class Species:
    """What the species rule needs.

    Attributes
    ----------
    doubt : (n, n_species) float32 array
        From `species_doubt`.
    of_individual : (n_individuals,) int32 array
    likely : (n,) int32 array
        The likeliest species of each query, the one that evidence was searched within.
    """

    doubt: np.ndarray
    of_individual: np.ndarray
    likely: np.ndarray

    @classmethod
    def none(cls, n: int, n_individuals: int) -> Species:
        """No species at all."""
        return cls(np.zeros((n, 1), np.float32), np.zeros(n_individuals, np.int32), np.zeros(n, np.int32))

    def second_doubt(self) -> np.ndarray:
        """(n,) float32: the least doubt in any species but the likeliest; 0 where there is no other."""
        others = self.doubt.copy()
        np.put_along_axis(others, self.likely[:, None].astype(np.int64), np.inf, axis=1)
        least = others.min(axis=1)
        return np.asarray(np.where(np.isfinite(least), least, 0.0), dtype=np.float32)


def rank(
    evidence: Evidence,
    weights: np.ndarray,
    *,
    top_photos: int = 1,
    species_penalty: float = 0.0,
    species: Species | None = None,
    recipe: np.ndarray | None = None,
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
    weights : (sources,) or (recipes, sources) float array >= 0, rows summing to 1
    top_photos : int >= 1
    species_penalty : float >= 0
    species : Species, optional
        Needed for a penalty.
    recipe : (n,) int array, optional
        Which row of `weights` is a query's; the first by default.

    Returns
    -------
    Ranking
    """
    return Ranker(evidence, species).rank(
        weights, top_photos=top_photos, species_penalty=species_penalty, recipe=recipe
    )


class Ranker:
    """`rank` again and again over the same evidence, into the same arrays.

    Parameters
    ----------
    evidence : Evidence
    species : Species, optional
        Needed for a penalty.
    rows : (m,) int array, optional
        Which queries to rank; all by default.
    """

    def __init__(self, evidence: Evidence, species: Species | None = None, rows: np.ndarray | None = None) -> None:
        self.evidence = evidence
        self.has_species = species is not None
        n = evidence.n_queries
        last = int(evidence.individual.max()) + 1 if len(evidence.individual) else 0
        self._species = species or Species.none(n, last)
        self._second = self._species.second_doubt()
        self.rows = np.arange(n) if rows is None else np.asarray(rows, dtype=np.int64)
        self._plain = np.zeros(n, dtype=np.int32)
        self._gap = _gap(evidence, self.has_species)
        shape = (len(self.rows), DEPTH)
        self._bound = np.full(len(self.rows), -np.inf, dtype=np.float32)
        self._out = Ranking(
            np.full(shape, NOBODY, dtype=np.int32),
            np.full(shape, -np.inf, dtype=np.float32),
            np.full(shape, NOBODY, dtype=np.int32),
            self._bound,
        )

    def rank(
        self,
        weights: np.ndarray,
        *,
        top_photos: int = 1,
        species_penalty: float = 0.0,
        recipe: np.ndarray | None = None,
    ) -> Ranking:
        """Rank the rows; the arrays of the result are overwritten by the next call. Parameters as of `rank`."""
        own = self.evidence
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        if (
            weights.shape[1] != len(own.sources)
            or not (weights >= 0).all()
            or not np.isclose(weights.sum(axis=1), 1.0).all()
        ):
            raise FinblendError(
                f"weights >= 0 summing to 1, one a source, must hold, but got weights={weights.squeeze().tolist()}"
            )
        if top_photos < 1:
            raise FinblendError(f"top_photos >= 1 must hold, but got top_photos={top_photos}")
        if not species_penalty >= 0:
            raise FinblendError(f"species_penalty >= 0 must hold, but got species_penalty={species_penalty}")
        if species_penalty > 0 and not self.has_species:
            raise FinblendError("a species penalty needs the doubt per species and the species of each individual")
        found = self._out
        rank_groups(
            self.rows,
            self._plain if recipe is None else np.asarray(recipe, dtype=np.int32),
            _column_weights(own, weights),
            own.group_start,
            own.individual,
            own.gallery_photos,
            own.photo_start,
            own.photo,
            own.similarity,
            own.horizon,
            # without species anybody may be behind any photo, so what was found within one bounds nobody
            own.species_horizon if self.has_species and own.species_horizon is not None else own.horizon,
            _lead(own, weights),
            self._gap,
            top_photos,
            np.float64(species_penalty),
            self._species.doubt,
            self._species.likely,
            self._second,
            self._species.of_individual,
            found.individual,
            found.score,
            found.photo,
            self._bound,
        )
        return found


def _column_weights(evidence: Evidence, weights: np.ndarray) -> np.ndarray:
    """(recipes, views, columns): what each column of similarities weighs in each query view."""
    out = np.zeros((len(weights), evidence.channels.shape[1], evidence.similarity.shape[1]))
    for s in range(len(evidence.sources)):
        for v in range(out.shape[1]):
            out[:, v, evidence.channels[s, v]] += weights[:, s]
    return out


def _lead(evidence: Evidence, weights: np.ndarray) -> np.ndarray:
    """(recipes,): the largest c with weights >= c * joint weights in every source.

    For a photo outside the candidates with similarities x_m <= tau_m and sum beta_m x_m <= tau, a blend is at most
    c tau + sum (alpha_m - c beta_m) tau_m = sum alpha_m tau_m - c (sum beta_m tau_m - tau).
    """
    if evidence.joint_weights is None:
        return np.zeros(len(weights))
    used = evidence.joint_weights > 0
    return np.asarray((weights[:, used] / evidence.joint_weights[used]).min(axis=1))


def _gap(evidence: Evidence, has_species: bool) -> np.ndarray:
    """(n, 2): by how much the joint horizon is below the same mean of the sources' own; 0 where there is none."""
    out = np.zeros((evidence.n_queries, 2))
    if evidence.joint_weights is None or evidence.joint_horizon is None:
        return out
    columns = evidence.channels[:, 0]
    within = evidence.species_horizon if has_species else None
    for c, horizon in enumerate((evidence.horizon, within)):
        if horizon is None:
            out[:, c] = out[:, 0]
            continue
        mean = horizon[:, columns].astype(np.float64) @ evidence.joint_weights
        # where all photos are candidates the sources' own horizons say so
        there = np.isfinite(mean)
        out[there, c] = np.maximum(mean[there] - evidence.joint_horizon[there, c], 0.0)
    return out
