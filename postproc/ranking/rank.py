"""From evidence and weights to the five best individuals of every query, in one fused pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from postproc.compiled import as_read
from postproc.evidence.evidence import MAX_TOP_PHOTOS, Evidence
from postproc.neighbours.search import NOBODY
from postproc.ranking.rank_kernels import rank_groups
from postproc.ranking.ranking import DEPTH, Ranking


@dataclass(frozen=True)
class Species:
    """What the species rule needs.

    Attributes
    ----------
    mismatch : (n, n_species) float32 array
        From `species_mismatch`.
    of_individual : (n_individuals,) int32 array
    likely : (n,) int32 array
        The likeliest species of each query, the one that evidence was searched within.
    """

    mismatch: np.ndarray
    of_individual: np.ndarray
    likely: np.ndarray

    @classmethod
    def none(cls, n: int, n_individuals: int) -> Species:
        """No species at all."""
        return cls(np.zeros((n, 1), np.float32), np.zeros(n_individuals, np.int32), np.zeros(n, np.int32))

    def take(self, rows: np.ndarray) -> Species:
        """Those of some queries."""
        return Species(self.mismatch[rows], self.of_individual, self.likely[rows])

    def second_mismatch(self) -> np.ndarray:
        """(n,) float32: the least mismatch of any species but the likeliest; 0 where there is no other."""
        others = self.mismatch.copy()
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
    mismatch of its species. A photo outside the candidates has an unknown score, not 0: where one is needed to fill the
    mean, the most it can be is taken, the blended K-th similarity (or the least of those known, if that is lower);
    none is needed where the evidence has further photos.
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
        self._second = self._species.second_mismatch()
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
        evidence, within = self.evidence, self.evidence.species_upper_bound
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        if (
            weights.shape[1] != len(evidence.sources)
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
            raise FinblendError("a species penalty needs the mismatch per species and the species of each individual")
        ranking = self._out
        is_complete, *further = _further(evidence, top_photos)
        start, photo, similarity = map(as_read, further)
        rank_groups(
            self.rows,
            self._plain if recipe is None else np.asarray(recipe, dtype=np.int32),
            _column_weights(evidence, weights),
            as_read(evidence.group_start),
            as_read(evidence.individual),
            as_read(evidence.gallery_photos),
            as_read(evidence.photo_start),
            as_read(evidence.photo),
            as_read(evidence.similarity),
            evidence.by_column,
            is_complete,
            start,
            photo,
            similarity,
            evidence.further_most,
            as_read(evidence.unseen_upper_bound),
            # without species anybody may be behind any photo, so what was found within one bounds nobody
            as_read(within if self.has_species and within is not None else evidence.unseen_upper_bound),
            _lead(evidence, weights),
            self._gap,
            top_photos,
            np.float64(species_penalty),
            self._species.mismatch,
            self._species.likely,
            self._second,
            self._species.of_individual,
            ranking.individual,
            ranking.score,
            ranking.photo,
            self._bound,
        )
        return ranking


def _further(evidence: Evidence, top_photos: int) -> tuple[bool, np.ndarray, np.ndarray, np.ndarray]:
    """Whether candidates and further photos are all that means of so many photos need, and the further photos."""
    start, photo, similarity = evidence.further_start, evidence.further_photo, evidence.further_similarity
    if top_photos == 1 or top_photos > MAX_TOP_PHOTOS or start is None or photo is None or similarity is None:
        return False, evidence.photo_start, evidence.photo, evidence.similarity
    return True, start, photo, similarity


def _column_weights(evidence: Evidence, weights: np.ndarray) -> np.ndarray:
    """(recipes, views, columns): what each column of similarities weighs in each query view."""
    out = np.zeros((len(weights), evidence.channels.shape[1], evidence.similarity.shape[1]))
    for s in range(len(evidence.sources)):
        for v in range(out.shape[1]):
            out[:, v, evidence.channels[s, v]] += weights[:, s]
    return out


def _lead(evidence: Evidence, weights: np.ndarray) -> np.ndarray:
    """(recipes,): the largest c with weights >= c * fused weights in every source.

    For a photo outside the candidates with similarities x_m <= tau_m and sum beta_m x_m <= tau, a blend is at most
    c tau + sum (alpha_m - c beta_m) tau_m = sum alpha_m tau_m - c (sum beta_m tau_m - tau).
    """
    if evidence.fused_weights is None:
        return np.zeros(len(weights))
    used = evidence.fused_weights > 0
    return np.asarray((weights[:, used] / evidence.fused_weights[used]).min(axis=1))


def _gap(evidence: Evidence, has_species: bool) -> np.ndarray:
    """(n, 2): by how much the fused upper bound is below the same mean of the sources'; 0 where there is none."""
    out = np.zeros((evidence.n_queries, 2))
    if evidence.fused_weights is None or evidence.fused_upper_bound is None:
        return out
    columns = evidence.channels[:, 0]
    within = evidence.species_upper_bound if has_species else None
    for c, upper_bound in enumerate((evidence.unseen_upper_bound, within)):
        if upper_bound is None:
            out[:, c] = out[:, 0]
            continue
        mean = upper_bound[:, columns].astype(np.float64) @ evidence.fused_weights
        # where all photos are candidates the sources' upper bounds say so
        is_bounded = np.isfinite(mean)
        out[is_bounded, c] = np.maximum(mean[is_bounded] - evidence.fused_upper_bound[is_bounded, c], 0.0)
    return out
